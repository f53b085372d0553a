package doh

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-freetier/caddy-freetier/internal/caddyfileutil"
	"github.com/caddy-freetier/caddy-freetier/internal/dnsserver"
	"github.com/caddy-freetier/caddy-freetier/internal/domainset"
)

// addListen adds the listeners of one line of `listen`. A word without a slash is
// the default name of the address with tls/ before it.
func (h *Handler) addListen(args []string) error {
	for _, arg := range args {
		if !strings.Contains(arg, "/") {
			if err := h.setDefaultName(arg); err != nil {
				return err
			}
			continue
		}
		address, err := dnsserver.ParseAddress(arg)
		if err != nil {
			return err
		}
		for _, other := range h.Listen {
			if other.Address == address.String() {
				return fmt.Errorf("%s is listed twice; remove one of the two", address)
			}
		}
		h.Listen = append(h.Listen, &Listen{Address: address.String()})
	}
	return nil
}

// setDefaultName sets the default name of the last listener.
func (h *Handler) setDefaultName(name string) error {
	if len(h.Listen) == 0 {
		return fmt.Errorf("%q does not begin with tls/, udp/ or tcp/; write one such as tls/:853 or udp/127.0.0.1:53", name)
	}
	last := h.Listen[len(h.Listen)-1]
	if !strings.HasPrefix(last.Address, dnsserver.TLS+"/") {
		return fmt.Errorf("%s: the name %q must follow an address with tls/; it is for TLS clients that send no server name", last.Address, name)
	}
	if last.DefaultName != "" {
		return fmt.Errorf("%s has two default names, %s and %s", last.Address, last.DefaultName, name)
	}
	if _, err := domainset.Wire(name); err != nil {
		return fmt.Errorf("%q is not a host name such as dns.example.com", name)
	}
	last.DefaultName = name
	return nil
}

// completeListeners sets the default name of listeners over TLS that have none to
// the value of the global option `default_sni`.
func (h *Handler) completeListeners(name string) {
	for _, l := range h.Listen {
		if l.DefaultName == "" && strings.HasPrefix(l.Address, dnsserver.TLS+"/") {
			l.DefaultName = name
		}
	}
}

// parseFor parses `for`: names, files with names, and a block of their upstreams.
func (h *Handler) parseFor(d *caddyfile.Dispenser) error {
	args, err := caddyfileutil.Arguments(d, "<name...>", "lan *.corp 192.168.0.0/16 file /etc/caddy/names.txt")
	if err != nil {
		return err
	}
	r := new(Route)
	for i := 0; i < len(args); i++ {
		if args[i] != hostsFile {
			r.Names = append(r.Names, args[i])
			continue
		}
		if i++; i == len(args) || args[i] == "" {
			return d.Err("for: file needs the path of a file with names")
		}
		r.Files = append(r.Files, args[i])
	}
	if err := h.checkNames(r); err != nil {
		return d.Errf("for: %w", err)
	}
	h.For = append(h.For, r)
	if err := caddyfileutil.ParseBlock(d, "for", r.options()); err != nil {
		return err
	}
	if len(r.Upstreams) == 0 {
		return d.Err("for needs an upstream in its block, such as upstream udp://192.168.1.1")
	}
	return nil
}

// options are the options in the block of `for`. Everything else is the handler's.
func (r *Route) options() []caddyfileutil.Option {
	return []caddyfileutil.Option{
		{Name: "upstream", Repeats: true, Block: true, Parse: upstreamParser(&r.Config, upstreamOptions)},
	}
}

// checkNames returns an error if a name is invalid, or is already in another line
// of `for`.
func (h *Handler) checkNames(r *Route) error {
	seen := make(map[string]bool)
	for _, other := range h.For {
		for _, name := range other.Names {
			seen[canonical(name)] = true
		}
	}
	for _, name := range r.Names {
		if err := new(domainset.Set).Add(name); err != nil {
			return err
		}
		if seen[canonical(name)] {
			return fmt.Errorf("%s is listed twice; put all its upstreams into one block", name)
		}
		seen[canonical(name)] = true
	}
	if len(r.Names)+len(r.Files) == 0 {
		return errors.New("there is no name")
	}
	return nil
}

// canonical returns the form in which names are compared: lower case, without a
// dot at the end.
func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
