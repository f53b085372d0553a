// Runs the JavaScript SDKs against a gateway, whose address is the argument,
// and prints a line of JSON for each check: its name and what went wrong.
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const base = process.argv[2];
const apiKey = "alice-key";
const openai = new OpenAI({ apiKey, baseURL: `${base}/v1` });
const anthropic = new Anthropic({ apiKey, baseURL: base });
const google = new GoogleGenAI({ apiKey, httpOptions: { baseUrl: base } });
const compatible = createOpenAICompatible({ name: "gateway", apiKey, baseURL: `${base}/v1` });
const messages = [{ role: "user", content: "Grüß dich 👋" }];

const tools = [{
	type: "function",
	function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
}];

const checks = {
	async "openai: chat"() {
		const chat = await openai.chat.completions.create({ model: "gpt-4o", messages });
		assert.equal(chat.choices[0].message.content, "Hello");
		assert.equal(chat.usage.total_tokens, 21);
	},
	async "openai: streamed chat"() {
		const stream = await openai.chat.completions.create({ model: "gpt-4o", messages, stream: true });
		let text = "";
		for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
		assert.equal(text, "Hello");
	},
	async "openai: tools"() {
		const chat = await openai.chat.completions.create({ model: "gpt-4o", messages, tools });
		assert.equal(chat.choices[0].message.tool_calls[0].function.name, "weather");
	},
	async "openai: embeddings"() {
		const answer = await openai.embeddings.create({ model: "text-embedding-3-small", input: ["a", "b"], encoding_format: "float" });
		assert.deepEqual(answer.data[1].embedding, [0.5, 0.25]);
	},
	async "openai: audio upload"() {
		const file = await toFile(Buffer.alloc(200_000, 7), "speech.mp3", { type: "audio/mpeg" });
		const answer = await openai.audio.transcriptions.create({ model: "whisper-1", file });
		assert.equal(answer.text, "200000 bytes for whisper-large");
	},
	async "openai: image edit"() {
		const image = await toFile(Buffer.alloc(100_000, 8), "cat.png", { type: "image/png" });
		const answer = await openai.images.edit({ model: "gpt-image-1", image, prompt: "a hat" });
		assert.equal(answer.data[0].b64_json, "100000");
	},
	async "openai: model list"() {
		const ids = [];
		for await (const model of openai.models.list()) ids.push(model.id);
		assert.ok(ids.includes("gpt-4o") && ids.includes("whisper-1"), `${ids}`);
		assert.equal((await openai.models.retrieve("gpt-4o")).owned_by, "a");
	},
	async "openai: a 429 that recovers"() {
		const chat = await openai.chat.completions.create({ model: "busy", messages });
		assert.equal(chat.choices[0].message.content, "Hello");
	},
	async "openai: realtime"() {
		const realtime = new OpenAIRealtimeWS({ model: "gpt-realtime" }, openai);
		const text = await new Promise((resolve, reject) => {
			realtime.on("response.output_text.done", (event) => resolve(event.text));
			realtime.on("error", reject);
			realtime.socket.on("open", () => realtime.send({ type: "response.create" }));
		});
		realtime.close();
		assert.equal(text, "Hello from gpt-realtime-2025");
	},
	async "openai: a wrong model"() {
		await assert.rejects(openai.chat.completions.create({ model: "gpt-9", messages }),
			(err) => err instanceof OpenAI.NotFoundError && err.code === "model_not_found");
	},
	async "openai: a wrong key"() {
		const stranger = new OpenAI({ apiKey: "wrong", baseURL: `${base}/v1` });
		await assert.rejects(stranger.models.list(), (err) => err instanceof OpenAI.AuthenticationError && err.code === "invalid_api_key");
	},
	async "anthropic: message"() {
		const message = await anthropic.messages.create({ model: "claude-sonnet", max_tokens: 10, messages });
		assert.equal(message.content[0].text, "Hello");
	},
	async "anthropic: streamed message"() {
		const message = await anthropic.messages.stream({ model: "claude-sonnet", max_tokens: 10, messages }).finalMessage();
		assert.equal(message.content[0].text, "Hello");
		assert.equal(message.usage.output_tokens, 12);
	},
	async "anthropic: a wrong model"() {
		await assert.rejects(anthropic.messages.create({ model: "claude-9", max_tokens: 10, messages }),
			(err) => err instanceof Anthropic.NotFoundError && err.error.error.type === "not_found_error");
	},
	async "anthropic: a wrong key"() {
		const stranger = new Anthropic({ apiKey: "wrong", baseURL: base });
		await assert.rejects(stranger.messages.create({ model: "claude-sonnet", max_tokens: 10, messages }),
			(err) => err instanceof Anthropic.AuthenticationError);
	},
	async "anthropic: model list"() {
		const ids = [];
		for await (const model of anthropic.models.list()) ids.push(`${model.type} ${model.id}`);
		assert.ok(ids.includes("model claude-sonnet"), `${ids}`);
		assert.equal((await anthropic.models.retrieve("claude-sonnet")).display_name, "claude-sonnet");
	},
	async "google: content"() {
		const answer = await google.models.generateContent({ model: "flash", contents: "Grüß dich 👋" });
		assert.equal(answer.text, "Hello");
		assert.equal(answer.usageMetadata.totalTokenCount, 21);
	},
	async "google: streamed content"() {
		let text = "";
		for await (const part of await google.models.generateContentStream({ model: "flash", contents: "Hi" })) text += part.text ?? "";
		assert.equal(text, "Hello");
	},
	async "google: model list"() {
		const names = [];
		for await (const model of await google.models.list()) names.push(model.name);
		assert.ok(names.includes("models/flash"), `${names}`);
		assert.equal((await google.models.get({ model: "flash" })).displayName, "flash");
	},
	async "google: a wrong model"() {
		await assert.rejects(google.models.generateContent({ model: "flash-9", contents: "Hi" }),
			(err) => err.status === 404 && JSON.parse(err.message).error.status === "NOT_FOUND");
	},
	async "google: a wrong key"() {
		const stranger = new GoogleGenAI({ apiKey: "wrong", httpOptions: { baseUrl: base } });
		await assert.rejects(stranger.models.generateContent({ model: "flash", contents: "Hi" }),
			(err) => err.status === 401 && JSON.parse(err.message).error.status === "UNAUTHENTICATED");
	},
	async "ai: text"() {
		const { text } = await generateText({ model: compatible("gpt-4o"), prompt: "Hi" });
		assert.equal(text, "Hello");
	},
	async "ai: streamed text"() {
		const { textStream } = streamText({ model: compatible("gpt-4o"), prompt: "Hi" });
		let text = "";
		for await (const part of textStream) text += part;
		assert.equal(text, "Hello");
	},
	async "ai: a wrong model"() {
		await assert.rejects(generateText({ model: compatible("gpt-9"), prompt: "Hi", maxRetries: 0 }), (err) => err.statusCode === 404);
	},
};

for (const [name, check] of Object.entries(checks)) {
	let error = "";
	try {
		await check();
	} catch (err) {
		error = `${err?.stack ?? err}`;
	}
	console.log(JSON.stringify({ name, error }));
}
