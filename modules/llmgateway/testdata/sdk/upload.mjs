// Uploads a file with Google's SDK through the gateway whose address is the first
// argument, with as many bytes as the second one says, and prints what becomes of
// it: {"uploaded", "state"}.
import { GoogleGenAI } from "@google/genai";

const [baseUrl, size] = process.argv.slice(2);
const google = new GoogleGenAI({ apiKey: "alice-key", httpOptions: { baseUrl } });
const bytes = new Uint8Array(Number(size)).map((_, i) => i % 251);
const file = await google.files.upload({ file: new Blob([bytes]), config: { mimeType: "application/octet-stream", displayName: "bytes" } });
const { state } = await google.files.get({ name: file.name });
console.log(JSON.stringify({ uploaded: Number(file.sizeBytes), state }));
