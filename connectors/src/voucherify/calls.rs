//! The calls of Voucherify: what it posts itself, and what its webhooks become.

use headwater_core::prelude::*;

/// What Voucherify posts itself with a write key: events of customers only.
pub const SPEC: &[CallType] = &[
    CallType::track(
        "Customer Redemption Succeeded",
        "order json, promotion_tier json, redemption json, voucher json, holder json, customer json, \
         campaign json",
    )
    .when("a code, promotion or gift card is redeemed"),
    CallType::track(
        "Customer Redemption Failed",
        "order json, promotion_tier json, redemption json, voucher json, holder json, customer json, \
         campaign json",
    )
    .when("a redemption is refused"),
    CallType::track(
        "Customer Redemption Rollback Succeeded",
        "order json, promotion_tier json, redemption json, redemption_rollback json, voucher json, \
         holder json, customer json, campaign json",
    )
    .when("a redemption is taken back"),
    CallType::track(
        "Customer Redemption Rollback Failed",
        "order json, promotion_tier json, redemption json, redemption_rollback json, voucher json, \
         holder json, customer json, campaign json",
    )
    .when("taking a redemption back is refused"),
    CallType::track(
        "Customer Reward Redemptions Created",
        "reward json, reward_assignment json, reward_redemption json, voucher json, source json, \
         holder json, balance numeric, customer json, campaign json",
    )
    .when("a customer redeems a reward"),
    CallType::track(
        "Customer Reward Redemptions Completed",
        "reward json, reward_assignment json, reward_redemption json, voucher json, source json, \
         holder json, balance numeric, customer json, campaign json",
    )
    .when("a reward is given"),
    CallType::track(
        "Customer Rewarded",
        "redemption json, referral_tier json, reward json, voucher json, holder json, balance numeric, \
         customer json, campaign json",
    )
    .when("a customer is given a reward"),
    CallType::track(
        "Customer Rewarded Loyalty Points",
        "earning_rule json, loyalty_tier json, order json, voucher json, holder json, balance numeric, \
         customer json, campaign json",
    )
    .when("a customer is given points"),
    CallType::track("Customer Validation Succeeded", "validation json, customer json, campaign json")
        .when("a code is found valid"),
    CallType::track("Customer Validation Failed", "validation json, customer json, campaign json")
        .when("a code is found not valid"),
    CallType::track("Customer Publication Succeeded", "publication json, customer json, campaign json")
        .when("a code is assigned to a customer"),
    CallType::track("Customer Publication Failed", "publication json, customer json, campaign json")
        .when("a code cannot be assigned"),
];

/// What the webhooks of projects and distributions become.
pub const CALLS: &[CallType] = &[
    CallType::track(
        "Customer Redemption Succeeded",
        "customer json, order json, campaign json, voucher json, holder json, promotion_tier json, \
         redemption json, created_at time, promotion_stack json",
    )
    .native("redemption.succeeded|customer.redemption.succeeded")
    .when("a code, promotion or gift card is redeemed"),
    CallType::track(
        "Customer Redemption Failed",
        "order json, holder json, voucher json, campaign json, customer json, created_at time, \
         redemption json, promotion_tier json",
    )
    .native("redemption.failed")
    .when("a redemption is refused"),
    CallType::track(
        "Customer Redemption Rollback Succeeded",
        "order json, holder json, voucher json, campaign json, customer json, redemption json, \
         promotion_tier json, redemption_rollback json, promotion_stack json",
    )
    .native("redemption.rollback.succeeded|customer.redemption.rollback.succeeded")
    .when("a redemption is taken back"),
    CallType::track(
        "Customer Redemption Rollback Failed",
        "order json, holder json, voucher json, campaign json, customer json, redemption json, \
         promotion_tier json, redemption_rollback json",
    )
    .native("redemption.rollback.failed")
    .when("taking a redemption back is refused"),
    CallType::new(
        CallKind::Identify,
        "",
        "customer_id text, name text, email text, object text, address json, loyalty json, summary json, \
         birthdate text, referrals json, source_id text, created_at time, description text, \
         system_metadata json, updated_at time",
    )
    .native("customer.created|customer.updated")
    .when("a customer is made or changed"),
    CallType::track("Customer Deleted", "customer json")
        .native("customer.deleted")
        .when("a customer is deleted"),
    CallType::track(
        "Customer Rewarded",
        "customer json, holder json, voucher json, campaign json, redemption json, reward json, \
         referral_tier json, balance json, custom_event json, customer_event json",
    )
    .native("customer.rewarded")
    .when("a customer is given a reward"),
    CallType::track(
        "Customer Rewarded Loyalty Points",
        "customer json, holder json, voucher json, campaign json, loyalty_tier json, earning_rule json, \
         balance json, order json, data_event json",
    )
    .native("customer.rewarded.loyalty_points")
    .when("a customer is given points"),
    CallType::track(
        "Customer Reward Redemptions Created",
        "holder json, reward json, source json, balance json, voucher json, campaign json, \
         customer json, reward_assignment json, reward_redemption json",
    )
    .native("customer.reward_redemptions.created")
    .when("a customer redeems a reward"),
    CallType::track(
        "Customer Reward Redemptions Pending",
        "holder json, reward json, source json, balance json, voucher json, campaign json, \
         customer json, reward_assignment json, reward_redemption json",
    )
    .native("customer.reward_redemptions.pending")
    .when("a reward waits to be given"),
    CallType::track(
        "Customer Reward Redemptions Completed",
        "customer json, holder json, voucher json, campaign json, reward_redemption json, reward json, \
         reward_assignment json, source json, balance json, publication json",
    )
    .native("customer.reward_redemptions.completed")
    .when("a reward is given"),
    CallType::track(
        "Customer Voucher Loyalty Card Pending Points Activated",
        "voucher json, voucher_pending_points_balance json, campaign json, customer json, order json, \
         pending_points json",
    )
    .native("customer.voucher.loyalty_card.pending_points.activated")
    .when("pending points of a loyalty card are activated (distributions)"),
    CallType::track(
        "Customer Voucher Loyalty Card Pending Points Added",
        "customer json, campaign json, voucher json, voucher_pending_points_balance json, order json, \
         pending_points json",
    )
    .native("customer.voucher.loyalty_card.pending_points.added")
    .when("pending points of a loyalty card are added (distributions)"),
    CallType::track(
        "Customer Voucher Loyalty Card Pending Points Canceled",
        "customer json, campaign json, voucher json, voucher_pending_points_balance json, order json, \
         pending_points json",
    )
    .native("customer.voucher.loyalty_card.pending_points.canceled")
    .when("pending points of a loyalty card are canceled (distributions)"),
    CallType::track(
        "Customer Voucher Loyalty Card Pending Points Updated",
        "customer json, campaign json, voucher json, voucher_pending_points_balance json, order json, \
         pending_points json",
    )
    .native("customer.voucher.loyalty_card.pending_points.updated")
    .when("pending points of a loyalty card are updated (distributions)"),
    CallType::track(
        "Customer Voucher Loyalty Card Points Added",
        "customer json, campaign json, voucher json, balance json, transaction json",
    )
    .native("customer.voucher.loyalty_card.points_added")
    .when("points are added to a loyalty card (distributions)"),
    CallType::track(
        "Customer Voucher Loyalty Card Points Expired",
        "customer json, campaign json, voucher json, points int, buckets json, transaction json",
    )
    .native("customer.voucher.loyalty_card.points_expired")
    .when("points of a loyalty card expire (distributions)"),
    CallType::track(
        "Customer Voucher Gift Balance Added",
        "customer json, campaign json, voucher json, balance json, transaction json",
    )
    .native("customer.voucher.gift.balance_added")
    .when("balance is added to a gift card (distributions)"),
    CallType::track("Customer Segment Entered", "customer json, segment json")
        .native("customer.segment.entered")
        .when("a customer enters a segment"),
    CallType::track("Customer Segment Left", "customer json, segment json")
        .native("customer.segment.left")
        .when("a customer leaves a segment"),
    CallType::track(
        "Customer Loyalty Tier Joined",
        "customer json, campaign json, loyalty_tier json, created_at time",
    )
    .native("customer.loyalty.tier.joined")
    .when("a member joins a tier"),
    CallType::track(
        "Customer Loyalty Tier Upgraded",
        "customer json, campaign json, loyalty_tier_from json, loyalty_tier_to json, created_at time",
    )
    .native("customer.loyalty.tier.upgraded")
    .when("a member moves up a tier"),
    CallType::track(
        "Customer Loyalty Tier Downgraded",
        "customer json, campaign json, loyalty_tier_from json, loyalty_tier_to json, created_at time",
    )
    .native("customer.loyalty.tier.downgraded")
    .when("a member moves down a tier"),
    CallType::track(
        "Customer Loyalty Tier Prolonged",
        "customer json, campaign json, loyalty_tier json, created_at time",
    )
    .native("customer.loyalty.tier.prolonged")
    .when("a member's tier is prolonged"),
    CallType::track(
        "Customer Loyalty Tier Left",
        "customer json, campaign json, loyalty_tier json, created_at time",
    )
    .native("customer.loyalty.tier.left")
    .when("a member leaves a tier"),
    CallType::track(
        "Customer Holder Assignment Created",
        "holder json, voucher json, campaign json, customer json",
    )
    .native("customer.holder.assignment.created")
    .when("a customer becomes a voucher's holder"),
    CallType::track(
        "Customer Holder Assignment Deleted",
        "holder json, voucher json, campaign json, customer json",
    )
    .native("customer.holder.assignment.deleted")
    .when("a customer is a voucher's holder no more"),
    CallType::track("Customer Order Created", "customer json, referrer json, order json, redemption json")
        .native("customer.order.created")
        .when("a customer's order is created (distributions)"),
    CallType::track("Customer Order Paid", "customer json, referrer json, order json, redemption json")
        .native("customer.order.paid")
        .when("a customer's order is paid (distributions)"),
    CallType::track("Customer Order Updated", "order json, customer json, referrer json, redemption json")
        .native("customer.order.updated")
        .when("a customer's order is updated (distributions)"),
    CallType::track("Customer Order Canceled", "customer json, referrer json, order json, redemption json")
        .native("customer.order.canceled")
        .when("a customer's order is canceled (distributions)"),
    CallType::track(
        "Customer Publication Succeeded",
        "customer json, campaign json, publication json, voucher json, user json, vouchers json",
    )
    .native("customer.publication.succeeded|publication.succeeded")
    .when("a code is assigned to a customer"),
    CallType::track(
        "Customer Custom Event",
        "data_event json, event_schema json, customer json, referral json, loyalty json",
    )
    .native("customer.custom_event")
    .when("a custom event is tracked"),
    CallType::track("Voucher Created", "voucher json, campaign json")
        .native("voucher.created")
        .when("a voucher is created"),
    CallType::track("Voucher Disabled", "voucher json, campaign json")
        .native("voucher.disabled")
        .when("a voucher is disabled"),
    CallType::track("Voucher Enabled", "voucher json, campaign json")
        .native("voucher.enabled")
        .when("a voucher is enabled"),
    CallType::track("Voucher Updated", "voucher json, campaign json")
        .native("voucher.updated")
        .when("a voucher is updated"),
    CallType::track(
        "Voucher Published",
        "customer json, campaign json, publication json, voucher json, created_at time",
    )
    .native("voucher.published")
    .when("a voucher is published"),
    CallType::track(
        "Loyalty Transaction Created",
        "transaction json, voucher json, campaign json, holder json, holder_loyalty_tier json, \
         balance json, order json, data_event json, earning_rule json, segment json, loyalty_tier json, \
         redemption json, rollback json, reward json, custom_event json, source_voucher json, \
         destination_voucher json",
    )
    .native("voucher.loyalty_card.transaction.created")
    .when("a loyalty card has a transaction"),
    CallType::track(
        "Pending Points Activated",
        "customer json, campaign json, voucher json, balance json, order json, transaction json, \
         pending_points json",
    )
    .native("voucher.loyalty_card.pending_points.activated")
    .when("pending points of a loyalty card are activated"),
    CallType::track(
        "Pending Points Added",
        "voucher json, voucher_pending_points_balance json, campaign json, customer json, order json, \
         pending_points json",
    )
    .native("voucher.loyalty_card.pending_points.added")
    .when("pending points of a loyalty card are added"),
    CallType::track(
        "Pending Points Canceled",
        "customer json, campaign json, voucher json, voucher_pending_points_balance json, order json, \
         redemption json, pending_points json",
    )
    .native("voucher.loyalty_card.pending_points.canceled")
    .when("pending points of a loyalty card are canceled"),
    CallType::track(
        "Pending Points Updated",
        "voucher json, voucher_pending_points_balance json, campaign json, customer json, order json, \
         pending_points json",
    )
    .native("voucher.loyalty_card.pending_points.updated")
    .when("pending points of a loyalty card are updated"),
    CallType::track(
        "Loyalty Points Added",
        "voucher json, balance json, campaign json, customer json, transaction json",
    )
    .native("voucher.loyalty_card.points_added")
    .when("points are added to a loyalty card"),
    CallType::track(
        "Loyalty Points Expired",
        "voucher json, points int, campaign json, customer json, buckets json, transaction json",
    )
    .native("voucher.loyalty_card.points_expired")
    .when("points of a loyalty card expire"),
    CallType::track(
        "Gift Transaction Created",
        "transaction json, voucher json, campaign json, holder json, balance json, order json, \
         redemption json, rollback json",
    )
    .native("voucher.gift.transaction.created")
    .when("a gift card has a transaction"),
    CallType::track("Gift Balance Added", "balance json, voucher json, campaign json, transaction json")
        .native("voucher.gift.balance_added")
        .when("balance is added to a gift card"),
    CallType::track("Voucher Deleted", "voucher json, campaign json")
        .native("voucher.deleted")
        .when("a voucher is deleted"),
    CallType::track("Campaign Created", "campaign json")
        .native("campaign.created")
        .when("a campaign is created"),
    CallType::track("Campaign Vouchers Generation Completed", "count int, campaign json, completed_at time")
        .native("campaign.vouchers.generation.completed")
        .when("the making of a campaign's vouchers is completed"),
    CallType::track("Campaign Disabled", "campaign json")
        .native("campaign.disabled")
        .when("a campaign is disabled"),
    CallType::track("Campaign Enabled", "campaign json")
        .native("campaign.enabled")
        .when("a campaign is enabled"),
    CallType::track("Campaign Updated", "campaign json")
        .native("campaign.updated")
        .when("a campaign is updated"),
    CallType::track("Campaign Deleted", "campaign json, deleted_at time")
        .native("campaign.deleted")
        .when("a campaign is deleted"),
    CallType::track("Campaign Loyalty Tier Created", "campaign json, loyalty_tier json")
        .native("campaign.loyalty_tier.created")
        .when("a campaign's loyalty tier is created"),
    CallType::track("Campaign Loyalty Tier Deleted", "campaign json, loyalty_tier json")
        .native("campaign.loyalty_tier.deleted")
        .when("a campaign's loyalty tier is deleted"),
    CallType::track("Campaign Loyalty Tier Updated", "campaign json, loyalty_tier json")
        .native("campaign.loyalty_tier.updated")
        .when("a campaign's loyalty tier is updated"),
    CallType::track("Campaign Promotion Tier Created", "campaign json, promotion_tier json")
        .native("campaign.promotion_tier.created")
        .when("a campaign's promotion tier is created"),
    CallType::track("Campaign Promotion Tier Disabled", "campaign json, promotion_tier json")
        .native("campaign.promotion_tier.disabled")
        .when("a campaign's promotion tier is disabled"),
    CallType::track("Campaign Promotion Tier Enabled", "campaign json, promotion_tier json")
        .native("campaign.promotion_tier.enabled")
        .when("a campaign's promotion tier is enabled"),
    CallType::track("Campaign Promotion Tier Updated", "campaign json, promotion_tier json")
        .native("campaign.promotion_tier.updated")
        .when("a campaign's promotion tier is updated"),
    CallType::track("Campaign Promotion Tier Deleted", "campaign json, promotion_tier json")
        .native("campaign.promotion_tier.deleted")
        .when("a campaign's promotion tier is deleted"),
    CallType::track("Business Validation Rule Created", "rule json")
        .native("business_validation_rule.created")
        .when("a validation rule is created"),
    CallType::track("Business Validation Rule Updated", "rule json")
        .native("business_validation_rule.updated")
        .when("a validation rule is updated"),
    CallType::track(
        "Business Validation Rule Assignment Created",
        "rule json, voucher json, campaign json, assignment json, distribution json, earning_rule json, \
         promotion_tier json",
    )
    .native("business_validation_rule.assignment.created")
    .when("the use of a validation rule is created"),
    CallType::track(
        "Business Validation Rule Assignment Deleted",
        "rule json, campaign json, assignment json, distribution json, earning_rule json, \
         promotion_tier json",
    )
    .native("business_validation_rule.assignment.deleted")
    .when("the use of a validation rule is deleted"),
    CallType::track("Business Validation Rule Deleted", "rule json")
        .native("business_validation_rule.deleted")
        .when("a validation rule is deleted"),
];
