// Package responses reads and writes OpenAI's Responses, the only dialect that
// Codex speaks.
//
// Sources: https://platform.openai.com/docs/api-reference/responses and, for what
// readers demand, https://github.com/openresponses/openresponses (November 2026)
package responses
