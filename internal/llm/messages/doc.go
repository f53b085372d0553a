// Package messages reads and writes Anthropic's Messages.
//
// Source: https://platform.claude.com/docs/en/api/messages (November 2026)
package messages
