// Sends with @segment/analytics-node.

import { calls } from "./calls.mjs";
import { ENDPOINT, Sent, WRITE_KEY, count, fail, require } from "./sent.mjs";

const { Analytics } = require("@segment/analytics-node");

const sent = new Sent();
const analytics = new Analytics({ writeKey: WRITE_KEY, host: ENDPOINT, flushAt: 40, flushInterval: 200 });
analytics.on("http_request", ({ body }) => sent.take(body));
analytics.on("http_response", ({ status }) => sent.answered(status));
analytics.on("error", (error) => fail(`the library says: ${error.code} ${error.reason}`));

for (const { kind, body, ...call } of calls(count, "node")) {
  const traits = kind === "identify" || kind === "group";
  if (kind !== "alias") call[traits ? "traits" : "properties"] = body;
  analytics[kind](call);
}
await analytics.closeAndFlush({ timeout: 60_000 });
sent.finish(count);
