// Sends with @rudderstack/rudder-sdk-node.

import { gunzipSync } from "node:zlib";
import { calls } from "./calls.mjs";
import { ENDPOINT, Sent, WRITE_KEY, count, fail, require } from "./sent.mjs";

const Analytics = require("@rudderstack/rudder-sdk-node");

const sent = new Sent();
const analytics = new Analytics(WRITE_KEY, {
  dataPlaneUrl: ENDPOINT,
  flushAt: 50,
  flushInterval: 200,
  errorHandler: (error) => fail(`the library says: ${error}`),
});
analytics.axiosInstance.interceptors.request.use((request) => {
  sent.take(Buffer.isBuffer(request.data) ? gunzipSync(request.data).toString() : JSON.stringify(request.data));
  return request;
});
analytics.axiosInstance.interceptors.response.use((response) => {
  sent.answered(response.status);
  return response;
});

const delivered = [];
for (const { kind, body, ...call } of calls(count, "rudder-node")) {
  const traits = kind === "identify" || kind === "group";
  if (kind !== "alias") call[traits ? "traits" : "properties"] = body;
  for (const name of Object.keys(call)) if (call[name] === undefined) delete call[name];
  delivered.push(new Promise((done) => analytics[kind](call, done)));
  // It measures its whole queue at every call.
  if (delivered.length % 100 === 0) await Promise.all([analytics.flush(), analytics.flush()]);
}
while (sent.ids.size < count) await analytics.flush();
await Promise.all(delivered);
sent.finish(count);
