// The calls that every JavaScript library sends: all six kinds, with values that are easy to lose on the way.
// The same number always makes the same calls.

export const KINDS = ["identify", "track", "page", "screen", "group", "alias"];

const LONG = "Lange Wörter, 長い文 und 🚀 — ".repeat(120);
const STRINGS = [
  "plain", "größe", "日本語 テキスト", "👩‍👩‍👧‍👦 family", "مرحبا بالعالم", "O'Brien said \"hi\" \\ bye", "line\nbreak\ttab\r",
  "nul\u0000byte", "", "  spaces  ", "<script>alert(1)</script>", "'; DROP TABLE tracks; --", "007", "1e5", "true", "null",
  "e\u0301 combined", "\u2028 separator", "\ufeffbom", "cut emoji \ud83d", "12:30", "-", "{\"not\":\"an object\"}", LONG,
];
const NUMBERS = [
  0, -1, 1, 42, 0.1, 0.1 + 0.2, 1.5, -2.75, 1e21, 1e-7, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER,
  2 ** 31, 2 ** 53, -(2 ** 63), 1234567.891, 100, 3.0,
];
const TIMES = [
  "2024-05-06", "2024-05-06T12:00:00Z", "2024-05-06T12:00:00+02:00", "2024-02-29T23:59:59.999Z", "1969-07-20T20:17:40.123456Z", "2024-13-45",
  new Date(Date.UTC(2023, 11, 31, 23, 59, 59, 7)),
];
// What a column of Headwater's own or of a call is named too.
const RESERVED = [
  "id", "received_at", "uuid_ts", "user_id", "timestamp", "sent_at", "event", "event_text", "context_ip", "_headwater_extra", "select",
  "table", "rowid", "oid", "order", "group_id", "type", "previous_id", "is_deleted", "name_",
];
export const EVENTS = [
  "Order Completed", "order_completed", "Ünïcode Ereignis", "注文 完了", "tracks", "users", "2fa enabled", "Select", "sqlite_master",
  `long ${"event name ".repeat(9)}`, "Order.Refunded!", "clicked",
];

const any = (i) => [STRINGS[i % STRINGS.length], NUMBERS[i % NUMBERS.length], i % 2 === 0, null, [i, "x"], { deep: { deeper: i } }][i % 6];

const deep = (levels, i) => (levels === 0 ? { leaf: i, text: "tief" } : { level: deep(levels - 1, i), at: levels });

// Properties or traits.
export function body(i) {
  const made = {
    plan: STRINGS[i % STRINGS.length],
    "Plan Name": `spaced ${i}`,
    planName: i,
    plan_name: i % 2 === 0,
    amount: NUMBERS[i % NUMBERS.length],
    fraction: i / 7,
    ok: i % 3 === 0,
    nothing: null,
    left_out: undefined,
    mixed: any(i),
    when: TIMES[i % TIMES.length],
    nested: { a: { b: { c: STRINGS[(i + 5) % STRINGS.length] } }, list: [1, [2, [3, { four: "vier" }]], null], "Ärger": i },
    list: [NUMBERS[i % NUMBERS.length], STRINGS[(i + 1) % STRINGS.length], null, true, { x: [] }],
    products: [{ sku: "a-1", price: 9.99, qty: 1 }, { sku: "ü-2", price: 0.1 + 0.2, qty: 20 }],
    empty_list: [],
    empty_object: {},
    "größe": `L${i}`,
    "日本": i,
    $special: "dollar",
    UPPER: "case",
    [`${"very long name ".repeat(6)}${i % 3}`]: i,
    [RESERVED[i % RESERVED.length]]: `reserved ${i}`,
  };
  if (i % 37 === 0) made.deep = deep(12, i);
  if (i % 41 === 0) made.text = LONG.repeat(2);
  if (i % 43 === 0) Object.assign(made, { "a.b": i, a: { b: -i } });
  if (i % 47 === 0) made.context = { library: { name: `not the library ${i}` }, custom: { active: "no" } };
  return made;
}

// What libraries let their users say about the surroundings.
export function context(i) {
  if (i % 4 === 0) return undefined;
  return {
    ip: `203.0.113.${i % 250}`,
    locale: "de-DE",
    timezone: "Europe/Berlin",
    active: i % 2 === 0,
    campaign: { name: "Frühling", source: "newsletter", medium: null, content: i },
    device: { id: `d-${i}`, token: STRINGS[i % STRINGS.length], adTrackingEnabled: false },
    traits: { email: `user${i}@example.com`, plan: "größer" },
    custom: { tags: ["a", { b: 1 }], "Ganz Eigenes": any(i + 2) },
    externalIds: [{ id: String(i), type: "crm", collection: "users", encoding: "none" }],
  };
}

export function integrations(i) {
  return [undefined, { All: true }, { All: false, Mixpanel: true }, { Amplitude: { session_id: 1700000000000 + i } }, {}][i % 5];
}

// Every call: its kind, and what its library is told.
export function* calls(count, prefix) {
  for (let i = 0; i < count; i++) {
    const kind = KINDS[i % KINDS.length];
    const call = { kind, body: body(i), context: context(i), integrations: integrations(i) };
    // The same users come back, so that what is known of them grows.
    call.userId = i % 7 === 3 && kind !== "alias" ? undefined : `user-${i % 90}-ü`;
    call.anonymousId = call.userId === undefined || i % 2 === 0 ? `anon-${i}` : undefined;
    if (i % 2 === 1) call.messageId = `${prefix}-${i}`;
    if (i % 3 === 1) call.timestamp = new Date(Date.UTC(2001, 1, 3) + i * 86_400_123);
    if (kind === "track") call.event = EVENTS[Math.floor(i / 6) % EVENTS.length];
    if (kind === "page" || kind === "screen") {
      call.name = `Seite ${i % 11}`;
      call.category = i % 4 === 0 ? "Docs & Hilfe" : undefined;
    }
    if (kind === "group") call.groupId = `group-${i % 40}`;
    if (kind === "alias") call.previousId = `before-${i}`;
    yield call;
  }
}
