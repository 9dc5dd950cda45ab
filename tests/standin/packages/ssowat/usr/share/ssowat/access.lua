-- A stand-in for SSOwat, asked for each request. The permission with the longest address that fits decides; after "re:" comes a
-- pattern.
local settings = ssowat_settings()
local url = ngx.var.host .. ngx.var.uri
local longest, public = -1, false

for _, permission in pairs(settings.permissions) do
    for _, uri in ipairs(permission.uris) do
        local fits
        if uri:sub(1, 3) == "re:" then
            fits = ngx.re.find(url, uri:sub(4), "jo") ~= nil
        else
            fits = url:sub(1, #uri) == uri
        end
        if fits and #uri > longest then
            longest, public = #uri, permission.public
        end
    end
end

ngx.header["X-SSO-WAT"] = "stand-in"
if public then
    return
end
local portal = settings.domain_portal_urls[ngx.var.host] or settings.domain_portal_urls["default"]
if not portal then
    ngx.status = ngx.HTTP_BAD_REQUEST
    ngx.say("Unmanaged domain")
    return ngx.exit(ngx.HTTP_OK)
end
if portal:sub(1, 1) == "/" then
    portal = ngx.var.host .. portal
end
-- The portal's own pages are for everybody.
if url:sub(1, #portal) == portal then
    return
end
return ngx.redirect("https://" .. portal .. "?r=" .. ngx.encode_base64("https://" .. url))
