// Opens the status page in a browser, prints what it finds as JSON.
//
//	node page.mjs <chromium> <page> <control> [<folder for screenshots>]
//
// The control is a server of the test: a request for /down makes a target fail, one
// for /up makes it work again, and one for /reload replaces the configuration.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [program, page, control, folder] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const found = { views: [], problems: [], live: {} };
const browser = await chromium.launch({
	executablePath: program,
	timeout: 120_000,
	args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

// open opens the page and collects what must not happen.
async function open(name, options, url = page) {
	const context = await browser.newContext(options);
	context.setDefaultTimeout(90_000);
	const tab = await context.newPage();
	tab.on("console", (m) => ["error", "warning"].includes(m.type()) && found.problems.push(`${name}: console: ${m.text()}`));
	tab.on("pageerror", (e) => found.problems.push(`${name}: ${e}`));
	tab.on("request", (r) => new URL(r.url()).origin === new URL(page).origin || r.url().startsWith("data:") || found.problems.push(`${name}: request to ${r.url()}`));
	const started = performance.now();
	await tab.goto(url, { waitUntil: "load" });
	return { context, tab, took: performance.now() - started };
}

for (const [locale, lang] of [["en-GB", "en"], ["zh-CN", "zh"]]) {
	for (const colorScheme of ["light", "dark"]) {
		for (const width of folder ? [360, 1200] : [360]) {
			const name = `${lang} ${colorScheme} ${width}`;
			const { context, tab, took } = await open(name, { locale, colorScheme, viewport: { width, height: 800 }, deviceScaleFactor: width < 500 ? 2 : 1 });
			await tab.waitForSelector("#live.on");
			await tab.evaluate(axe);
			const devtools = await context.newCDPSession(tab);
			const { nodes } = await devtools.send("Accessibility.getFullAXTree");
			const { violations } = await tab.evaluate(() => axe.run());
			found.views.push({
				name,
				loadMS: Math.round(took),
				lang: await tab.evaluate(() => document.documentElement.lang),
				width: await tab.evaluate(() => document.documentElement.scrollWidth),
				background: await tab.evaluate(() => getComputedStyle(document.body).backgroundColor),
				headers: nodes.filter((n) => !n.ignored && ["columnheader", "rowheader"].includes(n.role?.value)).map((n) => n.name?.value),
				violations: violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).slice(0, 3).join(" ")}`),
			});
			if (folder) {
				const clip = { x: 0, y: 0, width, height: width < 500 ? 1500 : 1640 };
				await tab.screenshot({ path: `${folder}/status-${name.replaceAll(" ", "-")}.png`, fullPage: true, clip });
			}
			await context.close();
		}
	}
}

// Without JavaScript the page says the same.
{
	const { context, tab } = await open("without script", { javaScriptEnabled: false });
	found.plain = await tab.locator("main").innerText();
	await context.close();
}

// With it, it follows what happens, also after a reload of the configuration.
{
	const { context, tab } = await open("live", { locale: "en-GB" });
	await tab.waitForSelector("#live.on");
	const card = tab.locator("#targets tr", { hasText: "toggled" });
	const follow = async (step, seen) => {
		const started = performance.now();
		await fetch(control + step);
		await seen.waitFor({ timeout: 90_000 });
		found.live[step] = Math.round(performance.now() - started);
	};
	await card.locator("i.up").waitFor();
	await follow("/down", card.locator("i.down"));
	await follow("/up", card.locator("i.up"));
	await follow("/reload", tab.locator("#targets tr", { hasText: "after-the-reload" }));
	await context.close();
}
await browser.close();
console.log(JSON.stringify(found));
