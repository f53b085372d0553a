package neutral

// Dialect is the API that a request or a response is in. The client's follows from the
// path that it has called, the channel's from the option speaks or the provider. The
// values are words of the Caddyfile.
type Dialect string

const (
	Chat      Dialect = "chat"      // OpenAI's Chat Completions
	Responses Dialect = "responses" // OpenAI's Responses
	Messages  Dialect = "messages"  // Anthropic's Messages
	Gemini    Dialect = "gemini"    // Google's generateContent and streamGenerateContent
)
