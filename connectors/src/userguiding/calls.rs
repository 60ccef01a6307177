//! UserGuiding's events: what it posts itself, and its webhook, have the same names and properties.

use headwater_core::prelude::*;

const GUIDE: &str = "guide_id int, guide_name text, page_url text";
const BUTTON: &str = "guide_id int, guide_name text, step text, button_id text, type text, action text, cta_text text, page_url text";
const HOTSPOT: &str =
    "hotspot_group_id int, hotspot_group_name text, hotspot_id text, hotspot_title text, page_url text";
const HOTSPOT_BUTTON: &str = "hotspot_group_id int, hotspot_group_name text, hotspot_id text, hotspot_title text, \
    button_id text, type text, action text, cta_text text, page_url text";
const CHECKLIST: &str = "checklist_id int, checklist_name text, checklist_item_url text, guide_id int, \
    guide_name text, page_url text";
const CENTER: &str = "resource_center_id int, resource_center_name text, guide_id int, guide_name text, \
    checklist_id int, checklist_name text, checklist_item_url text, external_url text, article_link text, \
    survey_id int, survey_name text, page_url text";
const SURVEY: &str = "survey_id int, survey_name text, question_id text, question_name text, survey_question text, \
    score int, emoji_score text, choices text, feedback text, page_url text";

/// Segment's catalog has one list of properties for all.
const POSTED: &str = "user_id text, guide_id int, guide_name text, page_url text, hotspot_group_id int, \
    hotspot_group_name text, hotspot_id int, hotspot_title text, checklist_name text, checklist_id int, \
    checklist_item_url text, resource_center_name text, resource_center_id int, external_url text, article_link text, \
    survey_id int, survey_name text, question_id text, question_name text, score int, survey_question text, \
    emoji_score text, choices text, feedback text";

/// Both tables of one list: a name, what the webhook calls it, its properties, when it happens.
macro_rules! events {
    ($($name:literal = $native:literal, $properties:ident, $when:literal;)*) => {
        pub const SPEC: &[CallType] = &[$(CallType::track($name, POSTED).when($when),)*];
        pub const CALLS: &[CallType] = &[
            $(CallType::track($name, $properties).native($native).when($when),)*
            CallType::track("Guide Button Click", BUTTON)
                .native("guide button click (userguiding)")
                .when("a button of a guide was clicked"),
            CallType::track("Hotspot Button Click", HOTSPOT_BUTTON)
                .native("hotspot button click (userguiding)")
                .when("a button of a hotspot was clicked"),
        ];
    };
}

events! {
    "Guide Started" = "guide started (userguiding)", GUIDE, "the first step of a guide was seen";
    "Guide Completed" = "guide completed (userguiding)", GUIDE, "all steps of a guide were gone through";
    "Hotspot Interacted" = "hotspot interacted (userguiding)", HOTSPOT, "a hotspot was opened";
    "Checklist Item Trigger" = "checklist item trigger (userguiding)", CHECKLIST, "a guide was started from a checklist";
    "Checklist Item Url Click" = "checklist item url click (userguiding)", CHECKLIST, "a URL in a checklist was clicked";
    "Checklist Completed" = "checklist completed (userguiding)", CHECKLIST, "a checklist was completed";
    "Resource Center Guide Trigger" = "resource center guide trigger (userguiding)", CENTER,
        "a guide was started from the resource center";
    "Resource Center Checklist Guide Trigger" = "resource center checklist guide trigger (userguiding)", CENTER,
        "a guide was started from a checklist in the resource center";
    "Resource Center Checklist Item Url Click" = "resource center checklist item url click (userguiding)", CENTER,
        "a URL in a checklist in the resource center was clicked";
    "Resource Center External URL Click" = "resource center external url click (userguiding)", CENTER,
        "an external URL in the resource center was clicked";
    "Resource Center Article Link Click" = "resource center article link click (userguiding)", CENTER,
        "an article in the resource center was clicked";
    "Resource Center Survey Trigger" = "resource center survey trigger (userguiding)", CENTER,
        "a survey was started from the resource center";
    "Survey Shown" = "survey shown (userguiding)|nps survey shown (userguiding)", SURVEY, "a survey was shown";
    "Survey Question Answer" = "survey question answer (userguiding)|nps score submit (userguiding)", SURVEY,
        "a question of a survey was answered";
}
