package doh

import (
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/google/uuid"
)

// profileName is the suffix of a path at which the profile for the path is served.
const profileName = "/apple.mobileconfig"

// profile is a configuration profile with which an iPhone, iPad or Mac sends all
// its queries to one URL. The verbs are the host, the URL and two UUIDs.
//
// Source: Apple's documentation of the payload DNSSettings,
// developer.apple.com/documentation/devicemanagement/dnssettings.
const profile = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>PayloadType</key><string>Configuration</string>
	<key>PayloadVersion</key><integer>1</integer>
	<key>PayloadIdentifier</key><string>%[3]s</string>
	<key>PayloadUUID</key><string>%[3]s</string>
	<key>PayloadDisplayName</key><string>DNS of %[1]s</string>
	<key>PayloadDescription</key><string>Sends all DNS queries to %[1]s, encrypted.</string>
	<key>PayloadRemovalDisallowed</key><false/>
	<key>PayloadContent</key>
	<array>
		<dict>
			<key>PayloadType</key><string>com.apple.dnsSettings.managed</string>
			<key>PayloadVersion</key><integer>1</integer>
			<key>PayloadIdentifier</key><string>%[3]s.dns</string>
			<key>PayloadUUID</key><string>%[4]s</string>
			<key>PayloadDisplayName</key><string>DNS of %[1]s</string>
			<key>DNSSettings</key>
			<dict>
				<key>DNSProtocol</key><string>HTTPS</string>
				<key>ServerURL</key><string>%[2]s</string>
			</dict>
		</dict>
	</array>
</dict>
</plist>
`

// serveProfile sends the profile for a path. Its UUIDs are derived from the URL, so
// that a device which installs it again replaces the earlier one.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		errProfileMethod.write(w)
		return
	}
	address := "https://" + r.Host + strings.TrimSuffix(askedPath(r), profileName)
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(address))
	text := fmt.Sprintf(profile, html.EscapeString(r.Host), html.EscapeString(address), id, uuid.NewSHA1(id, []byte("dns")))

	h := w.Header()
	h.Set("Content-Type", "application/x-apple-aspen-config; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="dns.mobileconfig"`)
	h.Set("Cache-Control", "private, no-store")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(text))
}

// askedPath returns the escaped path as the client has sent it, with the prefix that
// handle_path and the like have removed.
func askedPath(r *http.Request) string {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if ok && original.URL != nil && strings.HasSuffix(original.URL.EscapedPath(), profileName) {
		return original.URL.EscapedPath()
	}
	return r.URL.EscapedPath()
}
