package api

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// guard lets only requests through that name this machine, so that a page in a
// browser cannot reach the node, by a foreign origin or by a name that was
// pointed at 127.0.0.1 (DNS rebinding).
type guard struct {
	bound string // host part of the bound address; empty or unspecified: any IP literal will do
}

func (g guard) check(r *http.Request) *Error {
	const hint = "use the address that the node prints at its start"
	if !g.allowed(hostOnly(r.Host)) {
		return fail(CodeForbidden, hint, "host %q is not this node", r.Host)
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || !g.allowed(u.Hostname()) {
			return fail(CodeForbidden, hint, "origin %q is not this node", origin)
		}
	}
	return nil
}

func (g guard) allowed(host string) bool {
	if host == "" {
		return false
	}
	if strings.EqualFold(host, "localhost") || strings.EqualFold(host, g.bound) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	bound, err := netip.ParseAddr(g.bound)
	return ip.IsLoopback() || g.bound == "" || err == nil && (bound.IsUnspecified() || bound.Unmap() == ip.Unmap())
}

// hostOnly is a Host header without its port and brackets.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}
