//! Intercom's topics, of the API's versions up to 2.16 and unstable. Those that no call of the Spec has a name for keep
//! Intercom's own.

use headwater_core::spec::{CallKind, CallType};

const CONTACT: &str = "item_id text, item_type text, external_id text, user_id text, role text, email text, phone text, \
    name text, owner_id text, created_at time, updated_at time, signed_up_at time, last_seen_at time, \
    custom_attributes json, location json, tags json, companies json";
const TAGGED: &str = "contact json, user json, tag json, created_at time, item_type text";
const COMPANY: &str = "item_id text, item_type text, company_id text, name text, plan json, size int, industry text, \
    website text, monthly_spend numeric, user_count int, session_count int, created_at time, updated_at \
    time, custom_attributes json, tags json";
const LINK: &str = "company json, contact json, item_id text, item_type text";
const CONVERSATION: &str = "item_id text, item_type text, title text, state text, open bool, read bool, priority text, \
    admin_assignee_id int, team_assignee_id text, source json, contacts json, conversation_parts json, \
    conversation_rating json, statistics json, tags json, custom_attributes json, created_at time, \
    updated_at time, waiting_since time, snoozed_until time";
const TICKET: &str = "item_id text, item_type text, ticket_id text, category text, ticket_state json, ticket_type json, \
    ticket_attributes json, contacts json, ticket_parts json, admin_assignee_id text, team_assignee_id \
    text, open bool, is_shared bool, ticket json, created_at time, updated_at time";
const ADMIN: &str = "item_id text, item_type text, name text, email text, job_title text, away_mode_enabled bool, \
    away_mode_reassign bool, away_status_reason text, has_inbox_seat bool, team_ids json, avatar json";
const ACTIVITY: &str = "item_id text, performed_by json, metadata json, activity_type text, activity_description text, \
    created_at time";
const ARTICLE: &str = "item_id text, item_type text, title text, description text, body text, state text, author_id int, \
    url text, parent_id int, parent_type text, default_locale text, translated_content json, \
    workspace_id text, created_at time, updated_at time";
const SOURCE: &str = "item_id text, item_type text, name text, status text, created_at time, updated_at time";
const CALL: &str = "item_id text, item_type text, conversation_id text, admin_id text, contact_id text, state text, \
    direction text, call_type text, phone text, ended_reason text, fin_status text, initiated_at time, \
    answered_at time, ended_at time, recording_url text, transcription_url text";
const STAT: &str = "item_id text, item_type text, contact json, contact_id text, content_id text, content_title text, \
    content_type text, stats json, created_at time, updated_at time";
const EXECUTION: &str = "item_id text, item_type text, action_id text, conversation_id text, contact_id text, success bool, \
    http_status int, execution_time_ms int, error_type text, error_message text, created_at time";
const ITEM: &str = "item_id text, item_type text, created_at time, updated_at time";

#[rustfmt::skip]
pub const CALLS: &[CallType] = &[
    CallType::new(CallKind::Identify, "", CONTACT)
        .native("contact.created|contact.user.created|contact.lead.created|user.created|contact.user.updated|\
            contact.lead.updated|contact.email.updated|user.email.updated|contact.lead.added_email").when("a contact was made or changed"),
    CallType::new(CallKind::Alias, "", CONTACT)
        .native("contact.merged").when("a lead was merged into a user"),
    CallType::new(CallKind::Group, "", COMPANY)
        .native("company.created|company.updated").when("a company was made or changed"),
    CallType::track("Signed Up", CONTACT)
        .native("contact.lead.signed_up|visitor.signed_up").when("a lead or visitor became a user"),
    CallType::track("User Deleted", CONTACT)
        .native("contact.deleted|user.deleted").when("a contact was deleted"),
    CallType::track("User Archived", CONTACT)
        .native("contact.archive|contact.archived").when("a contact was archived"),
    CallType::track("User Unarchived", CONTACT)
        .native("contact.unarchived").when("a contact came back from the archive"),
    CallType::track("Unsubscribed", CONTACT)
        .native("contact.unsubscribed|user.unsubscribed").when("a contact unsubscribed from email"),
    CallType::track("Subscribed", CONTACT)
        .native("contact.subscribed").when("a contact subscribed again"),
    CallType::track("User Tagged", TAGGED)
        .native("contact.tag.created|contact.user.tag.created|contact.lead.tag.created|user.tag.created").when("a contact got a tag"),
    CallType::track("User Untagged", TAGGED)
        .native("contact.user.tag.deleted|contact.lead.tag.deleted|user.tag.deleted").when("a contact lost a tag"),
    CallType::track("Company Deleted", COMPANY)
        .native("company.deleted").when("a company was deleted"),
    CallType::track("Company Contact Attached", LINK)
        .native("company.contact.attached").when("a contact joined a company"),
    CallType::track("Company Contact Detached", LINK)
        .native("company.contact.detached").when("a contact left a company"),
    CallType::track("", "id text, intercom_user_id text, email text, metadata json, item_id text, item_type text")
        .native("event.created").when("an event that the customer tracks; the call has its name"),
    CallType::track("Live Chat Conversation Started", CONVERSATION)
        .native("conversation.user.created").when("a person began a conversation"),
    CallType::track("Live Chat Message Received", CONVERSATION)
        .native("conversation.user.replied").when("a person replied"),
    CallType::track("Live Chat Message Sent", CONVERSATION)
        .native("conversation.admin.replied|conversation.admin.single.created").when("a teammate replied, or began a conversation"),
    CallType::track("Live Chat Operator Replied", CONVERSATION)
        .native("conversation.operator.replied").when("Operator or Fin replied"),
    CallType::track("Live Chat Conversation Ended", CONVERSATION)
        .native("conversation.admin.closed").when("a teammate closed a conversation"),
    CallType::track("Live Chat Conversation Reopened", CONVERSATION)
        .native("conversation.admin.opened").when("a teammate opened a conversation again"),
    CallType::track("Live Chat Conversation Assigned", CONVERSATION)
        .native("conversation.admin.assigned|conversation.admin.open.assigned").when("a conversation was assigned"),
    CallType::track("Live Chat Conversation Noted", CONVERSATION)
        .native("conversation.admin.noted").when("a teammate added a note"),
    CallType::track("Live Chat Conversation Snoozed", CONVERSATION)
        .native("conversation.admin.snoozed").when("a teammate snoozed a conversation"),
    CallType::track("Live Chat Conversation Unsnoozed", CONVERSATION)
        .native("conversation.admin.unsnoozed").when("a snoozed conversation came back"),
    CallType::track("Live Chat Conversation Rated", CONVERSATION)
        .native("conversation.rating.added").when("a person rated a conversation"),
    CallType::track("Live Chat Conversation Priority Updated", CONVERSATION)
        .native("conversation.priority.updated").when("the priority of a conversation changed"),
    CallType::track("Live Chat Conversation Read", CONVERSATION)
        .native("conversation.read").when("a person read a conversation"),
    CallType::track("Live Chat Conversation Deleted", CONVERSATION)
        .native("conversation.deleted").when("a conversation was deleted"),
    CallType::track("Live Chat Contact Attached", CONVERSATION)
        .native("conversation.contact.attached").when("a person was added to a conversation"),
    CallType::track("Live Chat Contact Detached", CONVERSATION)
        .native("conversation.contact.detached").when("a person was taken out of a conversation"),
    CallType::track("Live Chat Company Updated", CONVERSATION)
        .native("conversation.company.updated").when("the company of a conversation changed"),
    CallType::track("Live Chat Message Tagged", CONVERSATION)
        .native("conversation_part.tag.created").when("a message got a tag"),
    CallType::track("Live Chat Message Redacted", CONVERSATION)
        .native("conversation_part.redacted").when("a message was redacted"),
    CallType::track("Admin Added", ADMIN)
        .native("admin.added_to_workspace").when("a teammate joined the workspace"),
    CallType::track("Admin Removed", ADMIN)
        .native("admin.removed_from_workspace").when("a teammate left the workspace"),
    CallType::track("Admin Away Mode Updated", ADMIN)
        .native("admin.away_mode_updated").when("a teammate went away or came back"),
    CallType::track("Admin Logged In", ADMIN)
        .native("admin.logged_in").when("a teammate logged in"),
    CallType::track("Admin Logged Out", ADMIN)
        .native("admin.logged_out").when("a teammate logged out"),
    CallType::track("Admin Activity Log Event Created", ACTIVITY)
        .native("admin.activity_log_event.created").when("a teammate changed something in the workspace"),
    CallType::track("Ticket Created", TICKET)
        .native("ticket.created").when("a ticket was made"),
    CallType::track("Ticket State Updated", TICKET)
        .native("ticket.state.updated").when("a ticket changed its state"),
    CallType::track("Ticket Note Created", TICKET)
        .native("ticket.note.created").when("a note was added"),
    CallType::track("Ticket Admin Assigned", TICKET)
        .native("ticket.admin.assigned").when("a ticket was assigned to a teammate"),
    CallType::track("Ticket Team Assigned", TICKET)
        .native("ticket.team.assigned").when("a ticket was assigned to a team"),
    CallType::track("Ticket Contact Attached", TICKET)
        .native("ticket.contact.attached").when("a person was added to a ticket"),
    CallType::track("Ticket Contact Detached", TICKET)
        .native("ticket.contact.detached").when("a person was taken out of a ticket"),
    CallType::track("Ticket Attribute Updated", TICKET)
        .native("ticket.attribute.updated").when("an attribute of a ticket changed"),
    CallType::track("Ticket Admin Replied", TICKET)
        .native("ticket.admin.replied").when("a teammate replied to a ticket"),
    CallType::track("Ticket Contact Replied", TICKET)
        .native("ticket.contact.replied").when("a person replied to a ticket"),
    CallType::track("Ticket Closed", TICKET)
        .native("ticket.closed").when("a ticket was closed"),
    CallType::track("Ticket Rating Provided", TICKET)
        .native("ticket.rating.provided").when("a person rated a ticket"),
    CallType::track("Ticket Resolved", TICKET)
        .native("ticket.resolved").when("a ticket was resolved"),
    CallType::track("Article Created", ARTICLE)
        .native("article.created").when("an article was made"),
    CallType::track("Article Updated", ARTICLE)
        .native("article.updated").when("an article was changed"),
    CallType::track("Article Published", ARTICLE)
        .native("article.published").when("an article was published"),
    CallType::track("Article Unpublished", ARTICLE)
        .native("article.unpublished").when("an article was taken back"),
    CallType::track("Article Deleted", ARTICLE)
        .native("article.deleted").when("an article was deleted"),
    CallType::track("Audience Created", SOURCE)
        .native("audience.created").when("an audience was made"),
    CallType::track("Audience Updated", SOURCE)
        .native("audience.updated").when("an audience was changed"),
    CallType::track("Audience Deleted", SOURCE)
        .native("audience.deleted").when("an audience was deleted"),
    CallType::track("Content Import Source Created", SOURCE)
        .native("content_import_source.created").when("a source of content was added"),
    CallType::track("Content Import Source Updated", SOURCE)
        .native("content_import_source.updated").when("a source of content was changed"),
    CallType::track("Content Import Source Deleted", SOURCE)
        .native("content_import_source.deleted").when("a source of content was removed"),
    CallType::track("Content Snippet Created", SOURCE)
        .native("content_snippet.created").when("a snippet was made"),
    CallType::track("Content Snippet Updated", SOURCE)
        .native("content_snippet.updated").when("a snippet was changed"),
    CallType::track("Content Snippet Deleted", SOURCE)
        .native("content_snippet.deleted").when("a snippet was deleted"),
    CallType::track("Call Started", CALL)
        .native("call.started").when("a call began"),
    CallType::track("Call Ended", CALL)
        .native("call.ended").when("a call was over"),
    CallType::track("Call Transcription Available", CALL)
        .native("call.transcription_available").when("the transcript of a call is there"),
    CallType::track("Call Recording Available", CALL)
        .native("call.recording_available").when("the recording of a call is there"),
    CallType::track("Api Request Completed", ITEM)
        .native("api.request.completed").when("a request to the API was answered"),
    CallType::track("Job Completed", ITEM)
        .native("job.completed").when("a job of the API was done"),
    CallType::track("Granular Subscribe", CONTACT)
        .native("granular.subscribe").when("a person subscribed to a type of message"),
    CallType::track("Granular Unsubscribe", CONTACT)
        .native("granular.unsubscribe").when("a person unsubscribed from a type of message"),
    CallType::track("Data Connector Execution Completed", EXECUTION)
        .native("data_connector.execution.completed").when("a data connector was run"),
    CallType::track("Procedure Hitl Notification Created", ITEM)
        .native("procedure.hitl_notification.created").when("a procedure of Fin waits for a person"),
    CallType::track("Content Stat Banner", STAT)
        .native("content_stat.banner").when("somebody got a banner, or did something with it"),
    CallType::track("Content Stat Carousel", STAT)
        .native("content_stat.carousel").when("somebody got a carousel, or did something with it"),
    CallType::track("Content Stat Chat", STAT)
        .native("content_stat.chat").when("somebody got a chat, or did something with it"),
    CallType::track("Content Stat Checklist", STAT)
        .native("content_stat.checklist").when("somebody got a checklist, or did something with it"),
    CallType::track("Content Stat Custom Bot", STAT)
        .native("content_stat.custom_bot").when("somebody got a bot, or did something with it"),
    CallType::track("Content Stat Email", STAT)
        .native("content_stat.email").when("somebody got an email, or did something with it"),
    CallType::track("Content Stat News Item", STAT)
        .native("content_stat.news_item").when("somebody got a news item, or did something with it"),
    CallType::track("Content Stat Post", STAT)
        .native("content_stat.post").when("somebody got a post, or did something with it"),
    CallType::track("Content Stat Push", STAT)
        .native("content_stat.push").when("somebody got a push message, or did something with it"),
    CallType::track("Content Stat Series", STAT)
        .native("content_stat.series").when("somebody got a series, or did something with it"),
    CallType::track("Content Stat Series Webhook", STAT)
        .native("content_stat.series.webhook").when("somebody got a webhook of a series, or did something with it"),
    CallType::track("Content Stat Sms", STAT)
        .native("content_stat.sms").when("somebody got a text message, or did something with it"),
    CallType::track("Content Stat Survey", STAT)
        .native("content_stat.survey").when("somebody got a survey, or did something with it"),
    CallType::track("Content Stat Tooltip Group", STAT)
        .native("content_stat.tooltip_group").when("somebody got a group of tooltips, or did something with it"),
    CallType::track("Content Stat Tour", STAT)
        .native("content_stat.tour").when("somebody got a tour, or did something with it"),
];
