// Reads streams of channels of each dialect, from a gateway whose address is the
// argument, and prints a line of JSON for each check: its name and what went wrong.
// The models are named by the channel's dialect and by what it does.
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { GoogleGenAI } from "@google/genai";
import { streamText } from "ai";
import assert from "node:assert/strict";
import OpenAI from "openai";

const base = process.argv[2];
const apiKey = "alice-key";
const openai = new OpenAI({ apiKey, baseURL: `${base}/v1`, maxRetries: 0 });
const anthropic = new Anthropic({ apiKey, baseURL: base, maxRetries: 0 });
const google = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: base } });
const compatible = createOpenAICompatible({ name: "gateway", apiKey, baseURL: `${base}/v1` });
const messages = [{ role: "user", content: "Hi" }];

const readers = {
	async "openai: chat"(model) {
		return (await openai.chat.completions.stream({ model, messages }).finalChatCompletion()).choices[0].message.content;
	},
	async "openai: responses"(model) {
		const response = await openai.responses.stream({ model, input: "Hi" }).finalResponse();
		if (response.status === "failed") throw new Error(response.error.message);
		return response.output_text;
	},
	async "anthropic: messages"(model) {
		return (await anthropic.messages.stream({ model, max_tokens: 100, messages }).finalMessage()).content.map((block) => block.text ?? "").join("");
	},
	async "google: streamed content"(model) {
		let text = "";
		for await (const part of await google.models.generateContentStream({ model, contents: "Hi" })) text += (part.candidates?.[0]?.content?.parts ?? []).map((p) => (p.thought ? "" : p.text)).join("");
		return text;
	},
	async "ai: streamed text"(model) {
		let failure;
		const result = streamText({ model: compatible(model), prompt: "Hi", maxRetries: 0, onError: ({ error }) => (failure = error) });
		let text = "";
		for await (const part of result.textStream) text += part;
		if (failure) throw failure instanceof Error ? failure : new Error(JSON.stringify(failure));
		return text;
	},
};

for (const [name, read] of Object.entries(readers)) {
	for (const channel of ["chat", "responses", "messages", "gemini"]) {
		for (const what of ["works", "fails", "breaks"]) {
			let error = "";
			try {
				if (what === "works") assert.equal(await read(`${channel}-works`), "Hello there");
				else await assert.rejects(read(`${channel}-${what}`));
			} catch (err) {
				error = `${err?.stack ?? err}`;
			}
			console.log(JSON.stringify({ name: `${name} from ${channel}, which ${what}`, error }));
		}
	}
}
