// Reads streams that begin with heartbeats, from a gateway whose address is the
// argument, and prints a line of JSON for each check: its name and what went wrong.
// The model says what follows behind the heartbeats.
import Anthropic from "@anthropic-ai/sdk";
import assert from "node:assert/strict";
import OpenAI from "openai";

const base = process.argv[2];
const openai = new OpenAI({ apiKey: "alice-key", baseURL: `${base}/v1`, maxRetries: 0 });
const anthropic = new Anthropic({ apiKey: "alice-key", baseURL: base, maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];
const said = "Hello from the channel";
const refused = /this prompt is not for us/;

const readers = {
	async "openai: chat"(model) {
		const stream = openai.chat.completions.stream({ model, messages });
		return (await stream.finalChatCompletion()).choices[0].message.content;
	},
	async "openai: chat, raw"(model) {
		let text = "";
		for await (const chunk of await openai.chat.completions.create({ model, messages, stream: true })) text += chunk.choices[0]?.delta?.content ?? "";
		return text;
	},
	async "openai: responses"(model) {
		const stream = openai.responses.stream({ model, input: "Hi" });
		const response = await stream.finalResponse();
		if (response.status === "failed") throw new Error(response.error.message);
		return response.output[0].content[0].text;
	},
	async "anthropic: messages"(model) {
		const stream = anthropic.messages.stream({ model, max_tokens: 100, messages });
		return (await stream.finalMessage()).content[0].text;
	},
};

for (const [name, read] of Object.entries(readers)) {
	for (const model of ["stream", "plain", "error"]) {
		let error = "";
		try {
			if (model === "error") await assert.rejects(read(model), refused);
			else assert.equal(await read(model), said);
		} catch (err) {
			error = `${err?.stack ?? err}`;
		}
		console.log(JSON.stringify({ name: `${name}, ${model}`, error }));
	}
}
