//! The sixteen tables: four come from incremental exports, three of them from one; the rest are lists.

use headwater_core::prelude::*;

/// The limit that the incremental exports count against.
pub const EXPORT: &str = "export";

/// The feed of ticket events, which three tables are made of.
pub const TICKET_EVENTS: &str = "ticket_event_export";

/// The start of 2007, the year in which Zendesk opened: where an export begins without a start date.
const BEGINNING: &str = "1167609600";

/// Exports leave out the last minute, and refuse to begin in it.
const MINUTE_AND_A_HALF: Duration = Duration::from_secs(90);

/// A list in pages of a hundred, read whole each time.
const LIST: Collection = Collection {
    records: "{name}",
    endpoint: Endpoint::get("/api/v2/{name}.json").query(&[("page[size]", "100")]),
    pages: Pages::Token {
        at: At::Body("meta.after_cursor"),
        into: Put::Query("page[after]"),
        more: More::If("meta.has_more"),
    },
    version: Some("updated_at"),
    ..Collection::DEFAULT
};

/// An export that is followed by its own cursor, which stays good between runs.
const CURSOR_EXPORT: Collection = Collection {
    endpoint: Endpoint::get("/api/v2/incremental/{name}/cursor.json").query(&[("per_page", "1000")]),
    pages: Pages::Token {
        at: At::Body("after_cursor"),
        into: Put::Query("cursor"),
        more: More::Unless("end_of_stream"),
    },
    since: Some(Since::Cursor {
        from: Put::Query("start_time"),
        format: TimeFormat::UnixSeconds,
        first: BEGINNING,
        lag: MINUTE_AND_A_HALF,
    }),
    limit: Some(EXPORT),
    deletes: Deletes::Never,
    ..LIST
};

/// An export whose next page starts at the second in which the last one ended: rows of that second come twice.
const TIME_EXPORT: Collection = Collection {
    endpoint: Endpoint::get("/api/v2/incremental/{name}.json").query(&[("per_page", "1000")]),
    pages: Pages::Token {
        at: At::Body("end_time"),
        into: Put::Query("start_time"),
        more: More::Unless("end_of_stream"),
    },
    ..CURSOR_EXPORT
};

/// What the ticket event export brings.
const PART_OF_EVENTS: Collection =
    Collection { from: From::Feed(TICKET_EVENTS), deletes: Deletes::Never, ..Collection::DEFAULT };

/// Each ticket event, with its changes and the comment that came with it.
pub static FEEDS: &[Feed] = &[Feed {
    read: Collection {
        name: TICKET_EVENTS,
        endpoint: Endpoint::get("/api/v2/incremental/ticket_events.json")
            .query(&[("include", "comment_events"), ("per_page", "1000")]),
        records: "ticket_events",
        version: None,
        ..TIME_EXPORT
    },
    horizon: None,
    fills: &["ticket_events", "ticket_comments", "attachments"],
}];

pub static COLLECTIONS: &[Collection] = &[
    Collection {
        name: "activities",
        fields: "id int, url text, verb text, title text, created_at time, updated_at time, user_id int, actor_id int",
        // Zendesk keeps thirty days; what leaves the list has not been deleted.
        since: Some(Since::Time {
            field: "created_at",
            from: Put::Query("since"),
            until: None,
            format: TimeFormat::Rfc3339,
            overlap: Duration::from_secs(3600),
            lag: Duration::from_secs(60),
            first: None,
        }),
        deletes: Deletes::Never,
        ..LIST
    },
    Collection {
        name: "attachments",
        fields: "id int, received_at time, file_name text, content_url text, content_type text, inline bool, size int, url text,
            comment_id int = ^id",
        deletes: Deletes::Flag("deleted", "true"),
        ..PART_OF_EVENTS
    },
    Collection {
        name: "audit_logs",
        fields: "id int, url text, created_at time, actor_id int, actor_name text, source_id int, source_type text,
            source_label text, action text, change_description text, ip_address text, action_label text",
        endpoint: Endpoint::get("/api/v2/audit_logs.json")
            .query(&[("page[size]", "100"), ("sort", "created_at")]),
        // The filter stands twice: first where it begins, then where it ends.
        since: Some(Since::Time {
            field: "created_at",
            from: Put::Query("filter[created_at][]"),
            until: Some(Put::Query("filter[created_at][]")),
            format: TimeFormat::Rfc3339,
            overlap: Duration::from_secs(600),
            lag: Duration::from_secs(60),
            first: Some("2007-01-01T00:00:00Z"),
        }),
        windows: Some(YEARS),
        deletes: Deletes::Never,
        version: None,
        ..LIST
    },
    Collection {
        name: "group_memberships",
        fields: "id int, url text, created_at time, group_id int, updated_at time, user_id int, default bool",
        ..LIST
    },
    Collection {
        name: "groups",
        fields: "id int, received_at time, url text, deleted bool, name text, created_at time, updated_at time, description text,
            default bool, is_public bool",
        endpoint: Endpoint::get("/api/v2/groups.json")
            .query(&[("page[size]", "100"), ("exclude_deleted", "false")]),
        deletes: Deletes::Flag("deleted", "true"),
        ..LIST
    },
    Collection {
        name: "organization_memberships",
        fields: "id int, url text, user_id int, organization_id int, created_at time, updated_at time,
            organization_name text, default bool",
        ..LIST
    },
    Collection {
        name: "organizations",
        fields: "id int, received_at time, external_id text, url text, name text, details text, notes text, group_id int,
            shared_tickets bool, shared_comments bool, created_at time, updated_at time, deleted_at time",
        deletes: Deletes::Flag("deleted_at", "*"),
        ..TIME_EXPORT
    },
    Collection {
        name: "satisfaction_ratings",
        fields: "id int, received_at time, url text, assignee_id int, group_id int, requester_id int, ticket_id int, score text,
            comment text, reason text, reason_id int, created_at time, updated_at time",
        since: Some(Since::Time {
            field: "updated_at",
            from: Put::Query("start_time"),
            until: Some(Put::Query("end_time")),
            format: TimeFormat::UnixSeconds,
            overlap: Duration::from_secs(3600),
            lag: Duration::from_secs(60),
            first: Some(BEGINNING),
        }),
        windows: Some(YEARS),
        deletes: Deletes::Never,
        ..LIST
    },
    Collection {
        name: "ticket_comments",
        fields: "id int, received_at time, ticket_event_id int = ^id, ticket_id int = ^ticket_id, type text, body text, public bool,
            author_id int, via text, created_at time, html_body text, plain_body text, audit_id int",
        ..PART_OF_EVENTS
    },
    Collection {
        name: "ticket_events",
        fields: "id int, ticket_event_id int = ^id, ticket_id int = ^ticket_id, timestamp time = ^timestamp,
            updater_id int = ^updater_id, ticket_event_via text = ^via, context_client text = ^system.client,
            context_location text = ^system.location, context_latitude real = ^system.latitude,
            context_longitude real = ^system.longitude, via text, event_type text,
            ticket_event_metadata json = ^metadata",
        ..PART_OF_EVENTS
    },
    Collection {
        name: "ticket_fields",
        fields: "id int, received_at time, url text, type text, slug text, title text, raw_title text, description text,
            raw_description text, position int, active bool, required bool, collapsed_for_agents bool,
            regexp_for_validation text, title_in_portal text, raw_title_in_portal text, visible_in_portal bool,
            editable_in_portal bool, required_in_portal bool, tag text, removable bool, created_at time,
            updated_at time",
        ..LIST
    },
    Collection {
        name: "ticket_forms",
        fields: "id int, active bool, end_user_visible bool, name text, restricted_brand_ids json,
            ticket_field_ids json, updated_at time, url text, created_at time, display_name text,
            in_all_brands bool, position int, raw_display_name text, raw_name text, default bool",
        endpoint: Endpoint::get("/api/v2/ticket_forms.json"),
        pages: Pages::One,
        ..LIST
    },
    Collection {
        name: "ticket_metrics",
        fields: "id int, received_at time, ticket_id int, group_stations int, assignee_stations int, reopens int, replies int,
            reply_time_in_minutes_calendar int = reply_time_in_minutes.calendar,
            reply_time_in_minutes_business int = reply_time_in_minutes.business,
            first_resolution_time_in_minutes_calendar int = first_resolution_time_in_minutes.calendar,
            first_resolution_time_in_minutes_business int = first_resolution_time_in_minutes.business,
            full_resolution_time_in_minutes_calendar int = full_resolution_time_in_minutes.calendar,
            full_resolution_time_in_minutes_business int = full_resolution_time_in_minutes.business,
            agent_wait_time_in_minutes_calendar int = agent_wait_time_in_minutes.calendar,
            agent_wait_time_in_minutes_business int = agent_wait_time_in_minutes.business,
            requester_wait_time_in_minutes_calendar int = requester_wait_time_in_minutes.calendar,
            requester_wait_time_in_minutes_business int = requester_wait_time_in_minutes.business,
            on_hold_time_in_minutes_calendar int = on_hold_time_in_minutes.calendar,
            on_hold_time_in_minutes_business int = on_hold_time_in_minutes.business, created_at time,
            updated_at time, assignee_updated_at time, requester_updated_at time, status_updated_at time,
            initially_assigned_at time, assigned_at time, latest_comment_added_at time, solved_at time, url text",
        // Its own list leaves out archived tickets; beside each exported ticket it is complete.
        from: From::Nested { of: &[("tickets", "metric_set")], overflow: "" },
        deletes: Deletes::Never,
        version: Some("updated_at"),
        ..Collection::DEFAULT
    },
    Collection {
        name: "ticket_skips",
        fields: "id int, ticket_id int, user_id int, reason text, created_at time, updated_at time",
        endpoint: Endpoint::get("/api/v2/skips.json").query(&[("page[size]", "100")]),
        records: "skips",
        // A skip leaves the list when its ticket is archived; Zendesk never deletes one.
        deletes: Deletes::Never,
        ..LIST
    },
    Collection {
        name: "tickets",
        fields: "id int, received_at time, url text, external_id text, type text, subject text, raw_subject text, description text,
            priority text, status text, recipient text, requester_id int, submitter_id int, assignee_id int,
            organization_id int, group_id int, collaborator_ids json, forum_topic_id int, problem_id int,
            has_incidents bool, due_at time, tags json, sharing_agreement_ids json, ticket_form_id int,
            created_at time, updated_at time, generated_timestamp time, brand_id int, is_public bool,
            follower_ids json, email_cc_ids json, custom_fields json, metric_set json",
        endpoint: Endpoint::get("/api/v2/incremental/tickets/cursor.json")
            .query(&[("include", "metric_sets"), ("per_page", "1000")]),
        deletes: Deletes::Flag("status", "deleted"),
        ..CURSOR_EXPORT
    },
    Collection {
        name: "users",
        fields: "id int, received_at time, url text, name text, email text, time_zone text, phone text, locale_id int, locale text,
            organization_id int, role text, verified bool, external_id text, alias text, active bool, shared bool,
            last_login_at time, two_factor_auth_enabled bool, signature text, details text, notes text,
            custom_role_id int, moderator bool, ticket_restriction text, only_private_comments bool,
            restricted_agent bool, suspended bool, chat_only bool, created_at time, updated_at time",
        deletes: Deletes::Flag("active", "false"),
        ..CURSOR_EXPORT
    },
];

const YEARS: Windows =
    Windows { span: Duration::from_secs(365 * 86_400), epoch: "2007-01-01T00:00:00Z", side_by_side: 2 };
