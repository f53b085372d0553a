// Package chat reads and writes OpenAI's Chat Completions, the dialect that most
// providers have taken over, with what they have added to it and how they differ.
//
// Source: https://platform.openai.com/docs/api-reference/chat (November 2026)
package chat
