//! Quin AI: behaviour prediction for shops. It posts Segment Spec calls with a write key, about an anonymous visitor. Some of its property names are
//! misspelt, and kept as they are sent.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "quin-ai",
    "Quin AI",
    "analytics",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/quin-ai",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "action_audience_id, action_control_group, action_id, action_is_custom, action_name, action_type, \
     basket_price, basket_quantity, event_action, event_category, event_count, event_custom_attributes, \
     evet_duration, event_label, event_platform, event_timestamp, event_url, google_client_id, item_category, \
     item_currency, item_custom_attributes, item_id, item_name, item_price, most_visited_category, \
     most_visited_category_count, prediction, returning_user, session_id, utm_campaign, utm_mdedium, utm_source";

const CALLS: &[CallType] = &[
    CallType::track("Page View", PROPERTIES).when("action after a page view"),
    CallType::track("Click", PROPERTIES).when("action after a click"),
    CallType::new(CallKind::Identify, "", "").when("a visitor is known; which traits it has is not public"),
];
