//! Wecheer: promotions on packages and receipts. It posts a track call for each outbound event that is chosen, with a write key.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "wecheer",
    "Wecheer",
    "loyalty",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/wecheer",
)
.spec(CALLS);

const CALLS: &[CallType] = &[
    CallType::track("Card Received", "user_id, advertiser_id, campaign_id").when("loyalty card got"),
    CallType::track("Card Given", "user_id, advertiser_id, campaign_id").when("card issued"),
    CallType::track("No Campaign Joined", "user_id, advertiser_id, campaign_id").when("no active campaign"),
    CallType::track("Consumption", "user_id, advertiser_id, campaign_id").when("consumption"),
    CallType::track("Consumption Match", "user_id, advertiser_id, campaign_id").when("consumption match"),
    CallType::track("First Consumption", "user_id, advertiser_id, campaign_id").when("first purchase"),
    CallType::track("Any Consumption", "user_id, advertiser_id, campaign_id").when("any consumption"),
    CallType::track("First Consumption Given", "user_id, advertiser_id, campaign_id")
        .when("first consumption given"),
    CallType::track("Any Consumption Given", "user_id, advertiser_id, campaign_id")
        .when("any consumption given"),
    CallType::track("Scan Receipt", "user_id, advertiser_id, campaign_id").when("scan begun"),
    CallType::track("Receipt Scanned", "user_id, advertiser_id, campaign_id").when("receipt scanned"),
    CallType::track("Receipt Triaged", "user_id, advertiser_id, campaign_id").when("to triage"),
    CallType::track("Receipt Failed", "user_id, advertiser_id, campaign_id").when("receipt failed"),
    CallType::track("Receipt Fraud", "user_id, advertiser_id, campaign_id").when("fraud found"),
    CallType::track("Receipt Incomplete", "user_id, advertiser_id, campaign_id").when("receipt incomplete"),
    CallType::track("Receipt No Reward", "user_id, advertiser_id, campaign_id").when("not eligible"),
    CallType::track("Receipt Manual Review Limit Exceeded", "user_id, advertiser_id, campaign_id")
        .when("review queue full"),
    CallType::track("Stamps Given", "user_id, advertiser_id, campaign_id").when("stamps given"),
    CallType::track("Manual Give Stamps", "user_id, advertiser_id, campaign_id").when("manual give stamps"),
    CallType::track("Punchcard Stamps Received", "user_id, advertiser_id, campaign_id")
        .when("punchcard stamps received"),
    CallType::track("Stamps Limit Reached", "user_id, advertiser_id, campaign_id")
        .when("stamps limit reached"),
    CallType::track("Stamps Overflow", "user_id, advertiser_id, campaign_id").when("over stamp limit"),
    CallType::track("Punchcard Completed", "user_id, advertiser_id, campaign_id").when("punchcard completed"),
    CallType::track("Punchcard Step Completed", "user_id, advertiser_id, campaign_id")
        .when("punchcard step completed"),
    CallType::track("Punchcard Already Completed", "user_id, advertiser_id, campaign_id")
        .when("repeat completion"),
    CallType::track("Reward Received", "user_id, advertiser_id, campaign_id").when("reward received"),
    CallType::track("Birthday Reward Received", "user_id, advertiser_id, campaign_id")
        .when("birthday reward received"),
    CallType::track("Level Unlock Reward Received", "user_id, advertiser_id, campaign_id")
        .when("level unlock reward received"),
    CallType::track("Validate Reward", "user_id, advertiser_id, campaign_id").when("validate reward"),
    CallType::track("Points Received", "user_id, advertiser_id, campaign_id").when("points received"),
    CallType::track("No Point Received", "user_id, advertiser_id, campaign_id").when("no point received"),
    CallType::track("Lucky Draw Received", "user_id, advertiser_id, campaign_id").when("lucky draw received"),
    CallType::track("User Data Shared", "user_id, advertiser_id, campaign_id").when("user data shared"),
    CallType::track("Game Triggered", "user_id, advertiser_id, campaign_id").when("game triggered"),
    CallType::track("Game Completed", "user_id, advertiser_id, campaign_id").when("game completed"),
    CallType::track("Level Unlocked", "user_id, advertiser_id, campaign_id").when("level unlocked"),
    CallType::track("Safe Box Generated", "user_id, advertiser_id, campaign_id").when("SafeBox made"),
    CallType::track("Safe Box Read", "user_id, advertiser_id, campaign_id").when("safe box read"),
    CallType::track("Safe Box Redeemed", "user_id, advertiser_id, campaign_id").when("safe box redeemed"),
    CallType::track("Catalog Redeem", "user_id, advertiser_id, campaign_id").when("catalog redeem"),
    CallType::track("Products Limit Reached", "user_id, advertiser_id, campaign_id")
        .when("products limit reached"),
    CallType::track("Staff Products Given", "user_id, advertiser_id, campaign_id")
        .when("staff products given"),
    CallType::track("Manual Verification Requested", "user_id, advertiser_id, campaign_id")
        .when("manual verification requested"),
    CallType::track("Manual Verification Approved", "user_id, advertiser_id, campaign_id")
        .when("manual verification approved"),
    CallType::track("Manual Verification Rejected", "user_id, advertiser_id, campaign_id")
        .when("manual verification rejected"),
    CallType::track("Consumer Referral Invite Generated", "user_id, advertiser_id, campaign_id")
        .when("consumer referral invite generated"),
    CallType::track("Staff Referral Invite Generated", "user_id, advertiser_id, campaign_id")
        .when("staff referral invite generated"),
    CallType::track("Init Staff Point Card", "user_id, advertiser_id, campaign_id")
        .when("init staff point card"),
    CallType::track("Handshake QR Valid", "user_id, advertiser_id, campaign_id").when("handshake qr valid"),
    CallType::track("Handshake QR Invalid", "user_id, advertiser_id, campaign_id")
        .when("handshake qr invalid"),
    CallType::track("Data Consumer Sync", "user_id, advertiser_id, campaign_id").when("consumer data synced"),
    CallType::track("Advertiser Consumption Transaction", "user_id, advertiser_id, campaign_id")
        .when("advertiser consumption transaction"),
];
