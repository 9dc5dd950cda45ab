"""Services of ours behind nginx: requests, pages and forms (docs/device.md)."""

from clic.web.app import App, same_origin
from clic.web.message import Form, Refused, Request, Response, redirect
from clic.web.server import Server, serve
from clic.web.tokens import Tokens

__all__ = ["App", "Form", "Refused", "Request", "Response", "Server", "Tokens", "redirect", "same_origin", "serve"]
