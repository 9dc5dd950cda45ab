-- A stand-in for SSOwat. Read once, as root, when nginx starts: a new secret counts from then on only.
local cjson = require("cjson.safe")

local function read(path)
    local file = io.open(path)
    if not file then
        return nil
    end
    local text = file:read("*a")
    file:close()
    return text
end

function ssowat_settings()
    local settings = cjson.decode(read("/etc/ssowat/conf.json") or "{}") or {}
    settings.permissions = settings.permissions or {}
    settings.domain_portal_urls = settings.domain_portal_urls or {}
    return settings
end

COOKIE_SECRET = read("/etc/yunohost/.ssowat_cookie_secret")
