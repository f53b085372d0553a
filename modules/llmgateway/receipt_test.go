package llmgateway

import (
	"strings"
	"testing"

	"github.com/caddy-freetier/caddy-freetier/internal/caddytest"
)

// A price is two numbers of money.
func TestPrices(t *testing.T) {
	config := func(price string) string {
		return "http://127.0.0.1:1 {\nllm_gateway {\nanonymous\nchannel a https://a.example/v1 {\nauth none\nmodels m {\nprice " + price + "\n}\n}\n}\n}\n"
	}
	for _, price := range []string{"0.15 0.60", "0 0", "3 15", "1e-3 1e-3"} {
		if err := caddytest.Validate(config(price)); err != nil {
			t.Errorf("%s: %v", price, err)
		}
	}
	for _, price := range []string{"a 1", "1 b", "-1 1", "1 -1", "NaN 1", "1 Inf", "$0.15 $0.60", "1e9 1"} {
		err := caddytest.Validate(config(price))
		if err == nil || !strings.Contains(err.Error(), "a price is for a million tokens of input, then of output, such as 0.15 0.60") || !strings.Contains(err.Error(), "Caddyfile:7") {
			t.Errorf("%s: %v", price, err)
		}
	}
}
