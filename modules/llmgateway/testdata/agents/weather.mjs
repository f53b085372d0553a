// An MCP server with more tools than a model is told of at once.
import readline from "node:readline";
const tools = Array.from({ length: 30 }, (_, i) => ({ name: `weather_${i}`, description: `Tells the weather of region ${i}.`, inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } }));
const reply = (id, result) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", id, result }) + "\n");
for await (const line of readline.createInterface({ input: process.stdin })) {
	const { id, method, params } = JSON.parse(line);
	if (method === "initialize") reply(id, { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "weather", version: "1" } });
	else if (method === "tools/list") reply(id, { tools });
	else if (method === "tools/call") reply(id, { content: [{ type: "text", text: `sunny in ${params.arguments.city}` }] });
	else if (id !== undefined) reply(id, {});
}
