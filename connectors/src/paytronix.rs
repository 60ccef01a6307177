//! Paytronix: loyalty for restaurants and shops. It posts track calls with a write key; nothing public describes a webhook of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "paytronix",
    "Paytronix",
    "loyalty",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/paytronix",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "first_name, last_name, printed_card_number, email_opt_in, text_opt_in, store_name, store_code, \
     store_latitude, store_longitude, store_city, store_postal_code, store_state, store_country, wallets_info, \
     all_wallets_info, flat_wallets_info";

const CALLS: &[CallType] = &[
    CallType::track("POS Activity", PROPERTIES).when("guest action at point of sale"),
    CallType::track("Identify Customer", PROPERTIES).when("loyalty guest identified"),
    CallType::track("Web Registration", PROPERTIES).when("loyalty sign-up on guest site"),
    CallType::track("Referral", PROPERTIES).when("refer-a-friend"),
    CallType::track("Check-In", PROPERTIES).when("guest checks in"),
    CallType::track("Recharge Value", PROPERTIES).when("stored value added"),
    CallType::track("Survey Completion", PROPERTIES).when("survey finished"),
    CallType::track("Loyalty Registration", PROPERTIES).when("loyalty account sign-up"),
    CallType::track("Add/Redeem", PROPERTIES).when("points earned and/or spent"),
];
