package llmgateway

import (
	"bytes"
	"encoding/json"
	"strings"
)

// refusalReason is what a refusal with 401, 402 or 403 is about.
type refusalReason struct {
	about   about
	inField bool // a field for programs says so, and not only a text
}

type about int

const (
	aboutUnclear about = iota // the key, or the request
	aboutRequest              // what the client has sent
	aboutKey                  // the key or its account: nothing works
	aboutCredit               // the account's credit: some models may still work
)

// Words in fields for programs, in lower case.
// Sources: the documentation of errors of OpenAI, Anthropic, Google, Groq,
// Mistral, DeepSeek, Moonshot, DashScope, Volcengine and OpenRouter.
var (
	requestCodes = words("content_filter", "content_policy_violation", "mismatched_organization", "mismatched_project",
		"invalid_organization", "data_inspection_failed", "datainspectionfailed", "context_length_exceeded", "invalid_prompt")
	keyCodes = words("invalid_api_key", "api_key_invalid", "invalidapikey", "wrong_api_key", "incorrect_api_key", "incorrect_api_key_error",
		"invalid_authentication_error", "authentication_error", "authenticationerror", "invalid_iam_token", "invalid_token", "unauthenticated",
		"account_deactivated", "organization_restricted", "api_key_service_blocked", "consumer_suspended", "consumer_invalid")
	creditCodes = words("insufficient_quota", "insufficient_balance", "insufficient_credits", "payment_required", "billing_error",
		"billing_not_active", "billing_hard_limit_reached", "exceeded_current_quota_error", "arrearage", "accountoverdueerror")
)

// shortestFate is the length of the shortest word below that could be repeated.
const shortestFate = len("banned")

// Phrases in texts for people, in lower case.
var (
	requestPhrases = []string{"max_tokens", "can only afford", "flagged", "moderation", "content policy", "safety", "prompt tokens", "organization header", "openai-organization"}
	creditPhrases  = []string{
		"insufficient balance", "balance is insufficient", "insufficient credit", "insufficient fund", "insufficient account balance", "credit balance",
		"out of credit", "no credit", "not enough credit", "prepayment credits", "exceeded your current quota", "payment required", "account is overdue",
	}
	keyNouns = []string{"api key", "api-key", "api_key", "apikey", "authentication credentials", "access token", "account"}
	keyFates = []string{"invalid", "incorrect", "not valid", "expired", "leaked", "revoked", "suspended", "deactivated", "disabled", "banned", "terminated", "deleted"}
)

func words(list ...string) map[string]bool {
	set := make(map[string]bool)
	for _, word := range list {
		set[word] = true
	}
	return set
}

// reasonIn finds the reason in the body of a refusal. What it repeats of the
// client's words, such as the model's name, is no reason.
func reasonIn(body []byte, repeated ...string) refusalReason {
	body = bytes.TrimSpace(body)
	if bytes.HasPrefix(body, []byte("<")) {
		return refusalReason{about: aboutRequest} // the page of a firewall: no other key passes it
	}
	text, codes := parseRefusal(body)
	for _, word := range repeated {
		if len(word) >= shortestFate {
			text = strings.ReplaceAll(text, word, "")
		}
	}
	text = strings.ToLower(text)
	switch {
	case codes.any(requestCodes) || codes.flagged || containsAny(text, requestPhrases):
		return refusalReason{aboutRequest, true}
	case codes.any(keyCodes):
		return refusalReason{aboutKey, true}
	case codes.any(creditCodes):
		return refusalReason{aboutCredit, true}
	case containsAny(text, creditPhrases):
		return refusalReason{aboutCredit, false}
	case containsAny(text, keyNouns) && containsAny(text, keyFates):
		return refusalReason{aboutKey, false}
	}
	return refusalReason{}
}

// refusalCodes are the fields for programs of an error.
type refusalCodes struct {
	words   []string
	flagged bool
}

func (c *refusalCodes) any(known map[string]bool) bool {
	for _, word := range c.words {
		if known[strings.ToLower(word)] {
			return true
		}
	}
	return false
}

// parseRefusal returns the text and the codes of an error in the forms of
// OpenAI, Anthropic, Google and OpenRouter, nested or flat. What is not JSON is
// all text.
func parseRefusal(body []byte) (text string, codes refusalCodes) {
	if list, ok := bytes.CutPrefix(body, []byte("[")); ok {
		body = bytes.TrimSuffix(list, []byte("]")) // Google's compatible API
	}
	var object map[string]any
	if json.Unmarshal(body, &object) != nil {
		return string(body), codes
	}
	var texts []string
	collect := func(from map[string]any) {
		for _, name := range []string{"code", "type", "status", "reason", "error_type"} {
			if word, ok := from[name].(string); ok {
				codes.words = append(codes.words, word)
			}
		}
		for _, name := range []string{"message", "msg", "detail", "error"} {
			if t, ok := from[name].(string); ok {
				texts = append(texts, t)
			}
		}
	}
	collect(object)
	if nested, ok := object["error"].(map[string]any); ok {
		collect(nested)
		details, _ := nested["details"].([]any)
		for _, detail := range details {
			if detail, ok := detail.(map[string]any); ok {
				collect(detail)
			}
		}
		metadata, _ := nested["metadata"].(map[string]any)
		codes.flagged = metadata["reasons"] != nil || metadata["flagged_input"] != nil
	}
	return strings.Join(texts, "\n"), codes
}

func containsAny(text string, phrases []string) bool {
	for _, phrase := range phrases {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	return false
}
