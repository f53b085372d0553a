package neutral

// Dialect is the API that a request or a response is in.
type Dialect string

const (
	Chat      Dialect = "chat"      // OpenAI's Chat Completions
	Responses Dialect = "responses" // OpenAI's Responses
	Messages  Dialect = "messages"  // Anthropic's Messages
	Gemini    Dialect = "gemini"    // Google's generateContent and streamGenerateContent
)
