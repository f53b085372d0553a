// Forwards by URL.
const routes = {
  '/github': 'https://api.github.com', // its API
  "/base": "https://api.example.org/base/path/",
  "files.example.com": "https://files.example.net",
};
const MODEL_MAP = new Map([
  ["gpt-4o", "openai/gpt-oss-120b"],
  ["gpt-4o-mini", "openai/gpt-oss-20b"],
]);
const headers = { "Content-Type": "application/json" };
export default {
  async fetch(request, env) {
    return new Response("ok", { headers });
  },
};
