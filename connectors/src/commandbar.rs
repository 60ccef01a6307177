//! CommandBar (now Command AI): search and nudges inside an app. It posts Segment Spec calls with a write key; its event callbacks run in the
//! browser, and nothing public describes a webhook of its own.

use headwater_core::prelude::*;

/// The registry's line.
pub const CONNECTOR: Connector = Connector::new(
    "commandbar",
    "CommandBar",
    "product experience",
    "https://www.twilio.com/docs/segment/connections/sources/catalog/cloud-apps/commandbar",
)
.spec(CALLS);

/// What several of them tell.
const PROPERTIES: &str = "end_user, organization, search, session, type, user_type, inputText";

/// What several of them tell.
const MORE_PROPERTIES_1: &str =
    "end_user, organization, search, session, type, user_type, id, slug, frequency_limit, on_select, trigger";

const CALLS: &[CallType] = &[
    CallType::new(CallKind::Identify, "", "end_user, organization, search, session, type, user_type, formFactor, userAttributes").when("widget booted"),
    CallType::track("Opened", "end_user, organization, search, session, type, user_type, trigger").when("bar opened; type opened"),
    CallType::track("Closed", PROPERTIES).when("bar closed; with text typed a dead end is sent too; type closed"),
    CallType::track("Abandoned Search", "end_user, organization, search, session, type, user_type, inputText, trigger, command, resource, results").when("dead end; type abandoned_search"),
    CallType::track("Command Suggestion", "end_user, organization, search, session, type, user_type, text").when("command suggested; type command_suggestion"),
    CallType::track("Command Execution", "end_user, organization, search, session, type, user_type, command, commandDetails, commandText, \
         category, formFactor, placeholder, previousCommands, ranking, shortcut, source, customShortcut, \
         inputText, icon, url").when("command run; type command_execution"),
    CallType::track("No Results For Query", PROPERTIES).when("search found nothing; type no_results_for_query"),
    CallType::track("Nudge Shown", MORE_PROPERTIES_1).when("nudge shown; type nudge_shown"),
    CallType::track("Nudge Clicked", MORE_PROPERTIES_1).when("nudge clicked; type nudge_clicked"),
    CallType::track("User Changed Shortcut", "end_user, organization, search, session, type, user_type, command, commandText, category, source, \
         defaultShortcut, oldShortcut, newShortcut").when("shortcut edited; type shortcut_edited"),
];
