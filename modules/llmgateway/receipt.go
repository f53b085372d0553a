package llmgateway

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/caddy-freetier/caddy-freetier/internal/ledger"
	"github.com/caddy-freetier/caddy-freetier/internal/status"
)

// Price is what a million tokens would cost.
//
// Nothing is charged by it and no channel is chosen by it: the receipt of the status
// page says what the free quotas would have cost. Both numbers are in the currency that
// the user has in mind.
type Price struct {
	Input  float64 `json:"input"`
	Output float64 `json:"output"`
}

var errPrice = errors.New("a price is for a million tokens of input, then of output, such as 0.15 0.60")

// setPrice sets the price for the receipt.
func (r *ModelRoute) setPrice(args []string) (err error) {
	if r.Price.Input, err = parsePrice(args[0]); err != nil {
		return err
	}
	r.Price.Output, err = parsePrice(args[1])
	return err
}

func parsePrice(arg string) (float64, error) {
	price, err := strconv.ParseFloat(arg, 64)
	if err != nil {
		return 0, errPrice
	}
	return price, checkPrice(price)
}

// checkPrice refuses what is no price, among it what is no number.
//
// The comparison is written so that NaN fails, which ParseFloat accepts.
func checkPrice(price float64) error {
	if !(price >= 0 && price <= 1e6) {
		return errPrice
	}
	return nil
}

// paidUse counts the tokens of a model in each month of UTC. It counts nothing if
// the model has no price.
type paidUse struct {
	priced        bool
	input, output *ledger.Counter
}

// openReceipt opens the counts of the route's models. The ledger is opened for
// those with a price only.
//
// The counts are by channel and model, in months of UTC, and go on over reloads and
// restarts. A change of the price applies to the whole month, since tokens are counted
// and not amounts.
func (r *ModelRoute) openReceipt(book func() (*ledger.Ledger, error)) error {
	if r.Price == (Price{}) {
		return nil
	}
	if err := errors.Join(checkPrice(r.Price.Input), checkPrice(r.Price.Output)); err != nil {
		return err
	}
	counts, err := book()
	if err != nil {
		return err
	}
	for _, m := range slices.Concat(r.sents...) {
		counter := func(kind string) *ledger.Counter {
			name := fmt.Sprintf("llm_gateway receipt %s %q %q", kind, m.channel, m.model)
			return counts.Counter(name, ledger.Tokens, ledger.Month, time.UTC)
		}
		m.paid = paidUse{true, counter("input"), counter("output")}
	}
	return nil
}

// count counts what a response states.
//
// Only what a response states counts here, in contrast to quotas: an estimate has no
// place on a receipt.
func (u *paidUse) count(input, output int64) {
	if u.priced {
		u.input.Add(input)
		u.output.Add(output)
	}
}

// describeReceipt adds the models with a price that were used this month, at that
// price. Names of one model are one line.
func describeReceipt(c *Channel, now time.Time, receipt *status.Receipt) {
	now = now.UTC()
	receipt.Since = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	seen := make(map[string]bool)
	for _, route := range c.Models {
		for _, m := range slices.Concat(route.sents...) {
			if !m.paid.priced || seen[m.model] {
				continue
			}
			seen[m.model] = true
			line := status.Priced{
				Channel: c.Name, Model: m.model, InputTokens: m.paid.input.Sum(), OutputTokens: m.paid.output.Sum(),
				InputPrice: route.Price.Input, OutputPrice: route.Price.Output,
			}
			line.Amount = (float64(line.InputTokens)*line.InputPrice + float64(line.OutputTokens)*line.OutputPrice) / 1e6
			receipt.Models = append(receipt.Models, line)
			receipt.Total += line.Amount
		}
	}
}
