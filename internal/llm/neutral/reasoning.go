package neutral

// Reasoning says how much a model may think, and whether its thoughts are wanted.
//
// The dialects say it in words (reasoning_effort, output_config.effort, thinkingLevel)
// or in tokens (thinking.budget_tokens, thinkingBudget). What the client has said is
// kept, and each writer asks for the form that its model takes: EffortOf or BudgetOf.
type Reasoning struct {
	Field string // as the client calls it, "" if it says nothing

	// Effort is none, minimal, low, medium, high, xhigh or max; "" if unset.
	Effort string

	// Budget is the most tokens to think with; it counts if HasBudget. -1 leaves it
	// to the model.
	Budget    int64
	HasBudget bool

	// Visible says whether the thoughts are wanted, On or Off.
	Visible      Switch
	VisibleField string // as the client calls it
	Summary      string // auto, concise or detailed; "" if unset
}

// IsSet reports whether the client asks for anything.
func (r *Reasoning) IsSet() bool {
	return r.Effort != "" || r.HasBudget || r.Visible != Unset || r.Summary != ""
}

// budgets are the tokens that stand for an effort, the largest first. Those of
// low, medium and high are Google's for its chat endpoint.
// Source: https://ai.google.dev/gemini-api/docs/openai (November 2026)
// max has no entry: it is the largest budget on the way out, and no budget is read as
// it.
var budgets = []struct {
	effort string
	tokens int64
}{
	{"xhigh", 32768},
	{"high", 24576},
	{"medium", 8192},
	{"low", 1024},
	{"minimal", 512},
}

// EffortOf returns the effort that the client asks for, in words: "" if it leaves
// that to the model.
func (r *Reasoning) EffortOf() string {
	switch {
	case r.Effort != "":
		return r.Effort
	case !r.HasBudget || r.Budget < 0:
		return ""
	case r.Budget == 0:
		return "none"
	case r.Budget > 24576:
		return "high" // 31,999 of 32,000, Claude Code's way of saying "much"
	}
	effort := "high"
	for _, b := range budgets {
		if r.Budget <= b.tokens {
			effort = b.effort
		}
	}
	return effort
}

// BudgetOf returns the budget that the client asks for, -1 if it leaves that to
// the model, and 0 if the model shall not think.
func (r *Reasoning) BudgetOf() int64 {
	if r.HasBudget {
		return r.Budget
	}
	switch r.Effort {
	case "none":
		return 0
	case "max":
		return budgets[0].tokens
	}
	for _, b := range budgets {
		if b.effort == r.Effort {
			return b.tokens
		}
	}
	return -1
}
