-- migrate:up

-- Sets of message statuses, the same as in messaging.sending.message_status. The planner inlines these functions, so
-- queries that call them can use the indexes built with them. Never change what one of them answers, as those indexes
-- would not follow: for another set, make another function and new indexes.

-- Waiting: no attempt has claimed the message, or each attempt has given it back.
create function is_waiting(p_status text) returns boolean
language sql immutable parallel safe as $$ select p_status in ('pending', 'queued') $$;

-- Unsettled: Drumbeat will still do something with the message by itself. All other statuses are settled.
create function is_unsettled(p_status text) returns boolean
language sql immutable parallel safe as $$ select p_status in ('pending', 'queued', 'processing') $$;

-- A WhatsApp sender: a number behind a gateway, with its pace, limits and sending hours.
create table devices (
    id               text primary key,
    gateway          text        not null,
    gateway_options  jsonb       not null default '{}',
    service_window   boolean     not null default false,   -- its gateway takes free text only within 24 hours of a person's last message
    min_delay        double precision not null default 5,   -- least seconds between two sends
    max_delay        double precision not null default 15,  -- most seconds between two slots
    daily_limit      integer,                               -- sends per local day; null: no limit
    opens_at         time,                                  -- sending hours, local; null: always open
    closes_at        time,
    time_zone        text        not null default 'UTC',    -- IANA name
    status           text        not null default 'active',
    status_reason    text,
    next_slot_at     timestamptz not null default '-infinity',  -- the first moment that is not reserved yet
    last_send_at     timestamptz not null default '-infinity',  -- the later of the last claim and the last settle
    in_flight_until  timestamptz not null default '-infinity',  -- until then an attempt may be at the gateway
    limit_day        date,                                  -- the local day that limit_used counts
    limit_used       integer     not null default 0,
    waits_until      timestamptz not null default '-infinity',  -- nothing is sent before: the gateway asked for it, or the device had a failure of its own
    waits_reason     text,                                      -- why
    faults           integer     not null default 0,            -- failures in a row that were the device's own
    fault_at         timestamptz not null default '-infinity',  -- when the last of them happened
    refusal          text,                                      -- what the gateway's last answers had in common, if their meaning is not known
    refusals         integer     not null default 0,            -- how many such answers in a row
    late_refusal     text,                                      -- the same for failures that receipts reported of accepted messages
    late_refusals    integer     not null default 0,
    replaced_by      text references devices (id),              -- the device that sends in its place
    stop_keywords    text[],                                    -- keywords in answers to it that opt out; null: the usual ones
    start_keywords   text[],
    opt_out_confirmation text,                                  -- what goes out after an opt-out by keyword; empty: nothing; null: the worker's setting
    fetched_until    timestamptz,                               -- what people sent before was fetched from the gateway's lists
    fetched_chats_until timestamptz,                            -- of what they sent since: the chats whose last message is before
    created_at       timestamptz not null default now(),
    constraint devices_status check (status in ('active', 'paused')),
    constraint devices_replaced check (replaced_by <> id),
    constraint devices_delays check (min_delay >= 0 and max_delay >= min_delay),
    constraint devices_limit check (daily_limit is null or daily_limit > 0),
    constraint devices_hours check ((opens_at is null) = (closes_at is null) and (opens_at is null or opens_at <> closes_at))
);

create table leads (
    id             bigint generated always as identity primary key,
    phone          text        not null,
    name           text        not null default '',
    niches         text[]      not null default '{}',   -- upper case, no repeats
    triggers       text[]      not null default '{}',   -- upper case, no repeats
    target_status  text        not null default 'prospect',
    device_id      text references devices (id),
    time_zone      text,                                -- null: the sequence's or campaign's
    attributes     jsonb       not null default '{}',   -- columns that Drumbeat does not know, string to string
    consent_at     timestamptz,                         -- when they agreed to be written to; null: they have not, or not any more
    consent_source text,                                -- how the latest word on that came
    consent_note   text,                                -- what it says: "signed form 12"; null: only yes or no
    consent_withdrawn_at timestamptz,                   -- when they took it back
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    constraint leads_phone_unique unique (phone),
    constraint leads_phone_e164 check (phone ~ '^\+[1-9][0-9]{1,14}$'),
    constraint leads_target_status check (target_status in ('prospect', 'customer')),
    constraint leads_consent_source check (consent_source in ('import', 'enrollment', 'inbound')),
    constraint leads_consent check (consent_at is null or (consent_source is not null and consent_withdrawn_at is null))
);
create index leads_triggers on leads using gin (triggers);
create index leads_niches on leads using gin (niches);
-- The trigger sweep pages through the leads that have a trigger.
create index leads_triggered on leads (id) where triggers <> '{}';

create table sequences (
    id             bigint generated always as identity primary key,
    name           text        not null constraint sequences_name_unique unique,
    trigger        text,
    next_trigger   text,
    time_zone      text        not null default 'UTC',
    skip_weekends  boolean     not null default false,
    device_id      text references devices (id),        -- for leads that own no device
    category       text        not null default 'marketing',  -- which opt-outs hold for its messages
    require_consent boolean    not null default false,  -- leads without consent are left out
    outside_window text        not null default 'fail',  -- what becomes of free text outside the service window
    status         text        not null default 'active',
    status_reason  text,                                -- why it is paused
    on_reply       jsonb       not null default '[]',   -- what a reply does: messaging.sequences.on_reply.RuleFile, the first that matches
    reply_within   interval    not null default '3 days',  -- how long after a message of it a reply counts for it
    revision       integer     not null default 1,      -- counts edits; a contact's plan names the one it was made with
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    constraint sequences_category check (category in ('marketing', 'utility')),
    constraint sequences_window check (outside_window in ('fail', 'wait')),
    constraint sequences_status check (status in ('active', 'paused'))
);
create unique index sequences_trigger_unique on sequences (trigger) where trigger is not null;

-- What people write, or click, to be enrolled in a sequence. None of it enrolls in two.
create table sequence_keywords (
    kind         text   not null,                       -- 'keyword': the whole text of a message; 'ad': the code of an advertisement
    code         text   not null,                       -- as it is compared: a keyword folded and without spaces
    sequence_id  bigint not null references sequences (id),
    written      text   not null,                       -- as the file has it
    constraint sequence_keywords_unique primary key (kind, code),
    constraint sequence_keywords_kind check (kind in ('keyword', 'ad'))
);
create index sequence_keywords_of on sequence_keywords (sequence_id);

create table sequence_steps (
    id            bigint generated always as identity primary key,
    sequence_id   bigint      not null references sequences (id),
    key           text        not null,                 -- the step's id in the file; never given to another step
    position      integer     not null,
    day           integer,                              -- day N, counted from 1
    at_time       time,                                 -- local; null: the time of day of the first send
    after         interval,                             -- or: so long after the previous step
    wait_for      interval,                             -- or: when the contact replies, and at the latest so long after the previous step
    conditions    jsonb,                                -- messaging.sequences.conditions.ConditionsFile; null: none
    expires_after interval,                             -- not sent later than this after it is due
    missed        text        not null default 'leave_out',  -- whether contacts that are past the step still get it
    text          text        not null default '',
    image_url     text,
    template      jsonb,                                -- messaging.texts.approved.ApprovedTemplate
    on_reply      jsonb       not null default '[]',    -- the same as of a sequence, for replies to this step; it goes first
    removed_at    timestamptz,                          -- the row is kept for the messages of the step
    constraint sequence_steps_key_unique unique (sequence_id, key),
    constraint sequence_steps_when check (num_nonnulls(day, after, wait_for) = 1 and (at_time is null or day is not null)),
    constraint sequence_steps_day check (day >= 1),
    constraint sequence_steps_wait check (wait_for > interval '0'),
    constraint sequence_steps_missed check (missed in ('send', 'leave_out')),
    constraint sequence_steps_expiry check (expires_after > interval '0'),
    constraint sequence_steps_content check (text <> '' or image_url is not null)
);
create unique index sequence_steps_position on sequence_steps (sequence_id, position) where removed_at is null;

-- One contact in one sequence. The unique constraint outlives Temporal's retention of the workflow.
create table sequence_contacts (
    id             bigint generated always as identity primary key,
    sequence_id    bigint      not null references sequences (id),
    lead_id        bigint      not null references leads (id),
    phone          text        not null,
    key_phone      text,                                -- the phone that its workflow and message IDs derive from; null: phone
    device_id      text        not null references devices (id),
    status         text        not null default 'active',
    reason         text,
    workflow_id    text        not null,
    run_id         text        not null,                -- the first run of the workflow that owns this row
    timeline       jsonb       not null,                -- messaging.times.calendar.Timeline
    plan_revision  integer     not null,                -- the sequence's revision that next_due_at follows from
    paused_at      timestamptz,                         -- nothing is sent until it is resumed
    paused_reason  text,
    answered_at    timestamptz,                         -- when the reply was sent that paused it; null: an operator paused it
    go_step_id     bigint references sequence_steps (id),  -- a reply sends it on to this step: its plan is to skip what comes before
    go_at          timestamptz,                         -- when that reply was sent
    go_reason      text,
    next_step_id   bigint references sequence_steps (id),
    next_due_at    timestamptz,
    plan_changed_at timestamptz,                        -- set while its workflow is still to be signalled that its next step has changed, or that it has ended
    signalled_at   timestamptz,                         -- when its workflow was last signalled about that
    enrolled_at    timestamptz not null default now(),
    ended_at       timestamptz,
    constraint sequence_contacts_unique unique (sequence_id, phone),
    constraint sequence_contacts_status check (status in ('active', 'completed', 'stopped', 'opted_out')),
    constraint sequence_contacts_ended check ((status = 'active') = (ended_at is null)),
    constraint sequence_contacts_go check (go_step_id is null or (go_at is not null and go_reason is not null))
);
create index sequence_contacts_phone on sequence_contacts (phone);
create index sequence_contacts_key on sequence_contacts (key_phone) where key_phone is not null;
create index sequence_contacts_active on sequence_contacts (sequence_id, id) where status = 'active';
-- Contacts whose workflows are still to be signalled: most of the time none. The index leaves next_due_at out, so that
-- sending a step touches no index.
create index sequence_contacts_to_signal on sequence_contacts (sequence_id) where plan_changed_at is not null;

create table campaigns (
    id             bigint generated always as identity primary key,
    name           text        not null constraint campaigns_name_unique unique,
    title          text        not null default '',
    niche          text,
    target_status  text        not null default 'all',
    device_ids     text[],
    require_consent boolean    not null default false,  -- leads without consent are left out
    text           text        not null default '',
    image_url      text,
    template       jsonb,                               -- messaging.texts.approved.ApprovedTemplate
    scheduled_at   timestamp,                           -- wall time in time_zone
    time_zone      text        not null default 'UTC',  -- IANA name, or 'recipient'
    until          text,                                -- wall time in time_zone, perhaps with a date: nothing is sent from then on
    if_passed      text        not null default 'next_day',  -- what becomes of recipients whose local time has passed
    min_delay      double precision,
    max_delay      double precision,
    fan_out        text        not null default 'children',  -- how its leads' workflows are started: FanOut
    category       text        not null default 'marketing',  -- which opt-outs hold for its messages
    outside_window text        not null default 'fail',  -- what becomes of free text outside the service window
    start_now      boolean     not null default false,  -- an operator started it at once, whatever scheduled_at says
    asked_at       timestamptz,                         -- when an operator last decided on its time: by a start, another time or a resume
    status         text        not null default 'draft',
    reason         text,                                -- why it is paused, or ended without sending
    frozen_at      timestamptz,                         -- when it started: its audience is in the ledger since then
    shards         integer,                             -- parts of its audience, which are fed side by side
    audience       jsonb       not null default '{}',   -- leads by device, as frozen
    opted_out      integer     not null default 0,      -- leads of the target that were left out as opted out
    without_device integer     not null default 0,
    without_consent integer    not null default 0,
    passed         integer     not null default 0,      -- left out because their local time had passed
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    seen_at        timestamptz,                         -- the updated_at that its workflow has looked at
    started_at     timestamptz,
    ended_at       timestamptz,
    constraint campaigns_frozen check (frozen_at is null or shards is not null),
    constraint campaigns_ended check (status <> 'finished' or ended_at is not null),
    constraint campaigns_status check (status in ('draft', 'scheduled', 'running', 'paused', 'cancelled', 'finished')),
    constraint campaigns_fan_out check (fan_out in ('children', 'eager')),
    constraint campaigns_category check (category in ('marketing', 'utility')),
    constraint campaigns_window check (outside_window in ('fail', 'wait')),
    constraint campaigns_passed check (if_passed in ('next_day', 'leave_out', 'send')),
    constraint campaigns_target check (target_status in ('prospect', 'customer', 'all')),
    constraint campaigns_content check (text <> '' or image_url is not null)
);

-- The ledger: one row for one message, for ever.
create table broadcast_messages (
    id                    uuid primary key,             -- from the message's key: the same in every attempt
    sequence_stepid       bigint references sequence_steps (id),
    sequence_contact_id   bigint references sequence_contacts (id),
    campaign_id           bigint references campaigns (id),
    purpose               text,                         -- of a message to one phone alone, which is no step's and no campaign's: what it is for
    contents              jsonb,                        -- what such a message says: text, image_url, template
    inbound_message_id    bigint,                       -- the reply whose opt-out it confirms
    lead_id               bigint references leads (id), -- null only for such a message, to a phone that is no lead
    recipient_phone       text        not null,
    key_phone             text,                         -- of a campaign: the phone that its workflow's ID derives from; null: recipient_phone
    device_id             text        not null references devices (id),
    status                text        not null default 'pending',
    due_at                timestamptz not null,
    expires_at            timestamptz,                  -- not sent from then on; null: no limit
    slot_at               timestamptz,                  -- the slot reserved on the device
    campaign_shard        integer,                      -- the part of the audience, from 0
    campaign_position     integer,                      -- the order of feeding: by due_at, then by lead
    attempts              integer     not null default 0,
    processing_worker_id  text,                         -- the token of the attempt that holds the claim
    claimed_at            timestamptz,
    begun_at              timestamptz,                  -- the claim of the first attempt that may have sent it: no one can have replied to it before
    answered_at           timestamptz,                  -- when that attempt recorded its outcome; null if it has not
    place_day             date,                         -- the device's local day whose daily limit counts it
    content               text,                         -- the text as rendered and sent
    image_url             text,
    parts_sent            integer     not null default 0,   -- how many parts have gone out, of a message in several parts
    retried               integer     not null default 0,   -- how often it was sent again after it had failed
    resends               integer     not null default 0,   -- how often an operator had it sent again
    gateway_message_id    text,
    earlier_gateway_ids   text[]      not null default '{}', -- the gateway's IDs of earlier sends, before it was sent again
    window_refused_at     timestamptz,                  -- when the gateway refused its text as outside the service window, which we took for open
    reason                text,                         -- why it failed, waits, or was never sent
    waits_for             text,                         -- if its last claim found the reason: a 'pause', the service 'window', or its 'device' (a slot, hours, a limit)
    accepted_at           timestamptz,                  -- when the gateway accepted it: from its answer, or else from the earliest receipt
    sent_at               timestamptz,                  -- the same moment, set only while the status is 'sent'
    delivered_at          timestamptz,                  -- the earliest moment known: a message that was read was delivered
    read_at               timestamptz,
    created_at            timestamptz not null default now(),
    updated_at            timestamptz not null default now(),
    constraint unique_sequence_message unique (sequence_stepid, recipient_phone, device_id),
    constraint unique_campaign_message unique (campaign_id, recipient_phone, device_id),
    constraint broadcast_messages_of_one check (num_nonnulls(sequence_stepid, campaign_id, purpose) = 1),
    constraint broadcast_messages_purpose check (purpose in ('opt-out confirmation', 'test')),
    constraint broadcast_messages_contents check ((purpose is null) = (contents is null)),
    constraint broadcast_messages_confirmation check
        ((purpose is not distinct from 'opt-out confirmation') = (inbound_message_id is not null)),
    constraint broadcast_messages_lead check (lead_id is not null or purpose is not null),
    constraint broadcast_messages_enrollment check ((sequence_stepid is null) = (sequence_contact_id is null)),
    constraint broadcast_messages_fed check
        ((campaign_id is null) = (campaign_shard is null) and (campaign_id is null) = (campaign_position is null)),
    constraint broadcast_messages_waits check (waits_for in ('pause', 'window', 'device')),
    constraint broadcast_messages_status check (status in
        ('pending', 'queued', 'processing', 'sent', 'failed', 'unconfirmed', 'suppressed', 'cancelled', 'expired')),
    constraint broadcast_messages_claim check (status <> 'processing' or (processing_worker_id is not null and claimed_at is not null)),
    constraint broadcast_messages_sent check ((status = 'sent') = (sent_at is not null))
);
-- Stronger than the two constraints above: at most one live message per step or campaign and phone, on any device.
create unique index one_live_sequence_message on broadcast_messages (sequence_stepid, recipient_phone)
    where is_unsettled(status) or status in ('sent', 'unconfirmed');
create unique index one_live_campaign_message on broadcast_messages (campaign_id, recipient_phone)
    where is_unsettled(status) or status in ('sent', 'unconfirmed');
-- An opt-out is confirmed once.
create unique index one_confirmation on broadcast_messages (inbound_message_id) where inbound_message_id is not null;
create index broadcast_messages_phone on broadcast_messages (recipient_phone);
create index broadcast_messages_contact on broadcast_messages (sequence_contact_id);
create index broadcast_messages_open on broadcast_messages (status, device_id)
    where is_unsettled(status) or status = 'unconfirmed';

-- The messages that need an operator: 'messages' lists them, and 'status' counts the failed ones by reason. Without
-- this index, both read the whole ledger. A message that is sent never enters it. It names no column that other indexes
-- do not name: with updated_at, a receipt would have to touch every index.
create index broadcast_messages_failed on broadcast_messages (status) where status in ('failed', 'unconfirmed');
-- Receipts name a message by the gateway's own ID.
create index broadcast_messages_gateway_id on broadcast_messages (gateway_message_id) where gateway_message_id is not null;
-- The unsettled messages of a campaign, in the order of feeding: rows leave this index when they are settled.
create index broadcast_messages_feed on broadcast_messages (campaign_id, campaign_shard, device_id, campaign_position)
    where campaign_id is not null and is_unsettled(status);

-- Receipts that came before the gateway's answer, which has its ID of the message: kept for a while, until the ID is
-- known.
create table early_receipts (
    id                  bigint generated always as identity primary key,
    gateway             text        not null,
    gateway_message_id  text        not null,
    status              text        not null,
    happened_at         timestamptz not null,           -- by the gateway's clock
    reason              text,
    sign                text,                           -- as in messaging.gateways.base.Receipt
    wrong_content       boolean     not null,
    received_at         timestamptz not null default clock_timestamp()
);
create index early_receipts_of on early_receipts (gateway, gateway_message_id);

-- The latest rows of imported files that could not be used (messaging.leads.csv_rejects): they show why a phone gets
-- nothing.
create table rejected_rows (
    id           bigint generated always as identity primary key,
    phone        text,                                -- E.164, where the row has a number
    digits       text        not null,                -- the digits of the phone as it is written
    written      text        not null,
    file         text        not null,
    row          integer     not null,                -- its number, as the rejects file counts rows
    reason       text        not null,
    rejected_at  timestamptz not null default clock_timestamp()
);
create index rejected_rows_phone on rejected_rows (phone);
create index rejected_rows_digits on rejected_rows (digits);
create index rejected_rows_file on rejected_rows (file);

-- Enrollments that a worker could not take (messaging.sequences.refused): the program that handed one over may have got no answer.
create table refused_enrollments (
    sequence    text        not null,
    phone       text        not null,
    reason      text        not null,
    refused_at  timestamptz not null default clock_timestamp(),  -- the last time
    primary key (sequence, phone)
);
create index refused_enrollments_phone on refused_enrollments (phone);

-- Messages that people send to our numbers, each stored once.
create table inbound_messages (
    id                  bigint generated always as identity primary key,
    device_id           text        not null references devices (id),
    gateway_message_id  text        not null,
    kind                text        not null,              -- as in messaging.gateways.webhook_events.InboundMessage
    phone               text,                              -- the sender's; null: not known
    identities          text[]      not null default '{}', -- the gateway's other names for the sender
    name                text,                              -- from the sender's profile
    from_me             boolean     not null default false, -- sent to this phone from our own number, but not by Drumbeat
    text                text,
    payload             text,
    media_id            text,
    answers             text,                              -- the gateway's ID of the message that it answers
    referral            jsonb,                             -- the advertisement that was clicked
    asks                text[]      not null default '{}', -- the sequences whose keyword or advertisement it has, as they were set when it came
    meaning             text        not null,              -- by the keywords that were set when it came
    confirmation        text,                              -- the text that was set then to confirm its opt-out with; null: none
    effects             jsonb       not null default '[]', -- what it did to sequences: messaging.replies.effects.Effect
    to_review           text,                              -- why an operator should look at it; null: no need
    reviewed_at         timestamptz,                       -- when an operator has looked
    sent_at             timestamptz not null,              -- as the gateway says, but never later than its arrival
    received_at         timestamptz not null default clock_timestamp(),
    constraint inbound_messages_once unique (device_id, gateway_message_id),
    constraint inbound_messages_meaning check (meaning in ('stop', 'start', 'maybe_stop', 'enroll', 'none')),
    constraint inbound_messages_to_review check (to_review in ('answer', 'maybe_stop', 'number_changed', 'numbers_joined', 'unmatched', 'enrolled', 'not_enrolled'))
);
create index inbound_messages_phone on inbound_messages (phone, sent_at);
create index inbound_messages_answers on inbound_messages (answers) where answers is not null;
create index inbound_messages_open on inbound_messages (sent_at) where to_review is not null and reviewed_at is null;
create index inbound_messages_unknown on inbound_messages using gin (identities) where phone is null;

-- Enrollments that an inbound message asks for, until a worker has taken or refused them.
create table wanted_enrollments (
    id                  bigint generated always as identity unique,
    sequence_id         bigint      not null references sequences (id),
    phone               text        not null,
    inbound_message_id  bigint      not null,
    created_at          timestamptz not null default clock_timestamp(),
    primary key (sequence_id, phone)
);

-- Other names that gateways have for a phone, as the gateways themselves have said.
create table identities (
    identity    text primary key,
    phone       text        not null,
    learned_at  timestamptz not null
);

-- Phones whose owner has another one now: the latest change of each.
create table phone_changes (
    old_phone   text primary key,
    new_phone   text        not null,
    changed_at  timestamptz not null,
    constraint phone_changes_e164 check (new_phone ~ '^\+[1-9][0-9]{1,14}$'),
    constraint phone_changes_another check (new_phone <> old_phone)
);
create index phone_changes_new on phone_changes (new_phone);

-- Phones that get nothing more: no marketing, or nothing at all, from any sequence, campaign or device. Each source opts
-- the phone out by itself.
create table suppressions (
    phone               text        not null,
    source              text        not null default 'operator',  -- who opted it out
    category            text        not null default 'all',  -- from which messages
    reason              text        not null default 'opted out',
    inbound_message_id  bigint references inbound_messages (id),  -- the evidence
    created_at          timestamptz not null default now(),
    signalled_at        timestamptz,                              -- when the workflows of the closed messages were signalled
    primary key (phone, source),
    constraint suppressions_source check (source in ('operator', 'reply', 'preference')),
    constraint suppressions_category check (category in ('marketing', 'all')),
    constraint suppressions_evidence check ((source = 'operator') = (inbound_message_id is null))
);
create index suppressions_to_signal on suppressions (created_at) where signalled_at is null;
create index suppressions_evidence on suppressions (inbound_message_id) where inbound_message_id is not null;

-- Worker processes, as they report themselves: 'status' can say that none runs, and since when.
create table workers (
    id          text primary key,
    task_queue  text        not null,
    started_at  timestamptz not null default now(),
    seen_at     timestamptz not null default now(),
    ended_at    timestamptz                             -- when it reported its end
);

-- migrate:down

drop table workers, suppressions, phone_changes, identities, wanted_enrollments, inbound_messages, refused_enrollments, rejected_rows, early_receipts, broadcast_messages, campaigns, sequence_contacts, sequence_steps, sequence_keywords, sequences, leads, devices;
drop function is_waiting, is_unsettled;
