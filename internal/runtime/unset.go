package runtime

import (
	"fmt"
	"regexp"
)

// unset is what Caddy's replacer says of a variable without a value.
var unset = regexp.MustCompile(`evaluated placeholder \{env\.([^}]*)\} is empty`)

// ExplainUnset adds to an error of Caddy's replacer, if it is about a variable
// of the environment, what makes the variable known. Other errors, and nil, it
// returns as they are.
func ExplainUnset(err error) error {
	if err == nil {
		return nil
	}
	match := unset.FindStringSubmatch(err.Error())
	if match == nil {
		return err
	}
	return fmt.Errorf("%w, since the environment variable %s is not set where Caddy runs; after a change of the environment "+
		"(/etc/caddy/env for instance) restart Caddy, for a reload does not read it anew", err, match[1])
}
