package llmgateway

// wake wakes the channels that are asked first and that the client may use, if
// they sleep: a user is about to ask for something.
func (t tiers) wake(client *Client) {
	for _, channel := range t[0] {
		if channel.mayServe(client) {
			channel.awake.Wake(channel.dial)
		}
	}
}
