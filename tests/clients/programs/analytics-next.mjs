// Sends with @segment/analytics-next, the browser library, from a page in headless Chromium. Half of the calls go one by one, as it
// does by default, half in batches.

import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ENDPOINT, Sent, WRITE_KEY, count, fail, require } from "./sent.mjs";

const { chromium } = require("playwright-core");

const bundle = join(dirname(require.resolve("@segment/analytics-next/package.json")), "dist", "umd");
const here = dirname(fileURLToPath(import.meta.url));
const page = `<!doctype html><meta charset="utf-8"><title>Headwater’s test page – ünïcode</title><script src="/umd/index.js"></script>`;

// The page has an origin of its own, as a shop's page has.
const site = createServer(async (request, response) => {
  const path = new URL(request.url, "http://page").pathname;
  try {
    if (path.startsWith("/umd/")) {
      response.setHeader("content-type", "text/javascript; charset=utf-8");
      response.end(await readFile(join(bundle, basename(path))));
    } else if (path === "/calls.mjs") {
      response.setHeader("content-type", "text/javascript; charset=utf-8");
      response.end(readFileSync(join(here, "calls.mjs")));
    } else {
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end(page);
    }
  } catch (error) {
    response.writeHead(404).end(String(error));
  }
});
await new Promise((listening) => site.listen(0, "127.0.0.1", listening));
const origin = `http://127.0.0.1:${site.address().port}`;

const profile = await mkdtemp(join(tmpdir(), "headwater-chromium-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM,
  headless: true,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-default-apps", "--disable-domain-reliability", "--disable-client-side-phishing-detection",
    "--disable-features=OptimizationHints,MediaRouter,Translate", "--metrics-recording-only", "--no-pings", "--disable-dev-shm-usage",
    // Names other than the two local ones lead nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
  ],
});

const sent = new Sent();
const troubles = [];
try {
  const half = Math.ceil(count / 2);
  await visit("one by one", 0, half, undefined);
  await visit("in batches", half, count, { strategy: "batching", config: { size: 50, timeout: 200 } });
} finally {
  await browser.close();
  site.close();
  await rm(profile, { recursive: true, force: true });
}
sent.finish(count);

// Opens the page and makes the calls `from` to `to` there.
async function visit(how, from, to, deliveryStrategy) {
  const tab = await browser.newPage();
  tab.on("pageerror", (error) => troubles.push(String(error)));
  tab.on("request", (request) => {
    if (request.method() === "POST" && request.url().startsWith(ENDPOINT) && !request.url().endsWith("/m")) sent.take(request.postData());
  });
  tab.on("response", (response) => {
    if (response.request().method() === "POST" && response.url().startsWith(ENDPOINT)) sent.answered(response.status());
  });
  await tab.goto(`${origin}/shop?utm_source=test&q=gr%C3%B6%C3%9Fe`);
  const made = await tab.evaluate(make, { from, to, count, deliveryStrategy, writeKey: WRITE_KEY, endpoint: ENDPOINT });
  const until = Date.now() + 60_000;
  while (sent.ids.size < to && Date.now() < until) await tab.waitForTimeout(50);
  await tab.waitForTimeout(300);
  if (made.failed.length || troubles.length) fail(`${how}: ${[...troubles, ...made.failed].slice(0, 3).join("; ")}`);
  if (sent.ids.size !== to) fail(`${how}: ${to} calls made by now and ${sent.ids.size} sent; answers: ${JSON.stringify([...sent.answers])}`);
  await tab.close();
}

// Runs in the page.
async function make({ from, to, count, deliveryStrategy, writeKey, endpoint }) {
  const { calls } = await import("/calls.mjs");
  const { AnalyticsBrowser } = window.AnalyticsNext;
  const segment = deliveryStrategy ? { "Segment.io": { deliveryStrategy } } : {};
  const [analytics] = await AnalyticsBrowser.load({ writeKey, cdnURL: endpoint }, { integrations: segment });
  const failed = [];
  let i = 0;
  let under_way = [];
  for (const { kind, body, context, integrations, userId, anonymousId, messageId, timestamp, ...call } of calls(count, "browser")) {
    if (i < from || i >= to) {
      i++;
      continue;
    }
    i++;
    const options = { context, integrations, anonymousId, messageId, timestamp };
    if (kind !== "identify" && kind !== "alias") options.userId = userId;
    for (const name of Object.keys(options)) if (options[name] === undefined) delete options[name];
    const made = {
      identify: () => analytics.identify(userId, body, options),
      track: () => analytics.track(call.event, body, options),
      page: () => analytics.page(call.category ?? null, call.name, body, options),
      screen: () => analytics.screen(call.category ?? null, call.name, body, options),
      group: () => analytics.group(call.groupId, body, options),
      alias: () => analytics.alias(userId, call.previousId, options),
    }[kind]();
    under_way.push(made.then((ctx) => ctx.failedDelivery?.() && failed.push(String(ctx.failedDelivery().reason))));
    if (under_way.length >= (deliveryStrategy ? 100 : 25)) {
      await Promise.all(under_way);
      under_way = [];
    }
  }
  await Promise.all(under_way);
  return { failed };
}
