-- Campaigns: who gets one, in which order, and how far it is. Their sends go through claim_message like all others.

-- migrate:up

alter table campaigns
    add column start_now      boolean     not null default false,  -- an operator's word, over scheduled_at
    add column frozen_at      timestamptz,          -- the campaign has started: its audience stands in the ledger
    add column shards         integer,              -- workflows that feed it, side by side
    add column audience       jsonb       not null default '{}',   -- leads by device, as frozen
    add column opted_out      integer     not null default 0,      -- leads of the target that were left out
    add column without_device integer     not null default 0,
    add column reason         text,                 -- why it ended without sending
    add column updated_at     timestamptz not null default now(),
    add constraint campaigns_frozen check (frozen_at is null or shards is not null),
    add constraint campaigns_ended check (status <> 'finished' or ended_at is not null);

alter table broadcast_messages
    add column campaign_shard    integer,           -- the feeding workflow, from 0
    add column campaign_position integer,           -- the order of feeding: by due_at, then as the leads came
    add column retried           integer not null default 0,       -- how often it was sent again after it had failed
    add constraint broadcast_messages_fed check
        ((campaign_id is null) = (campaign_shard is null) and (campaign_id is null) = (campaign_position is null));

-- What a campaign still has to settle, in the order in which it is fed: rows leave this index as they are settled.
create index broadcast_messages_feed on broadcast_messages (campaign_id, campaign_shard, device_id, campaign_position)
    where campaign_id is not null and status in ('pending', 'queued', 'processing');

-- The ID of a campaign's message, as messaging.identity.campaign_message_id has it: a UUID of version 8 from SHA-256,
-- in the manner of RFC 9562, appendix B.2. (Version 5 would need SHA-1, which PostgreSQL has only in an extension.)
create function campaign_message_id(p_campaign bigint, p_phone text, p_device text) returns uuid
language sql immutable parallel safe as $$
    select encode(set_byte(set_byte(digest, 6, get_byte(digest, 6) & 15 | 128), 8, get_byte(digest, 8) & 63 | 128),
                  'hex')::uuid
      from substring(sha256(decode('e315735096cd4eb6b78594f64b6114c6', 'hex')
                            || convert_to('campaign:' || p_campaign || ':' || p_phone || ':' || p_device, 'UTF8'))
                     from 1 for 16) as digest
$$;

-- Whom a campaign would go to if it started now. Every lead goes by its own device; one that owns none goes by the only
-- device there is, and has a null device if there are several. zone: whose clocks show the recipient's local time.
create function campaign_audience(p_campaign bigint)
returns table (lead_id bigint, phone text, device_id text, zone text, opted_out boolean)
language sql stable as $$
    select l.id, l.phone, d.id, coalesce(l.time_zone, d.time_zone, 'UTC'),
           exists (select from suppressions s where s.phone = l.phone)
      from campaigns c
      join leads l on (c.niche is null or l.niches @> array[c.niche])
                  and (c.target_status = 'all' or l.target_status = c.target_status)
      left join devices d
             on d.id = coalesce(l.device_id, (select min(o.id) from devices o having count(*) = 1))
     where c.id = p_campaign and (c.device_ids is null or d.id = any (c.device_ids))
$$;

-- Claims a campaign's message. To claim_message's answer it adds, with a claim, what is to be sent.
create function claim_campaign_message(
    p_message uuid, p_token text, p_lifetime interval, p_grace interval, p_now timestamptz
) returns jsonb
language plpgsql as $$
declare
    answer jsonb := claim_message(p_message, p_token, p_lifetime, p_grace, p_now);
begin
    if answer ->> 'outcome' in ('claimed', 'taken_over') then
        answer := answer || (
            select jsonb_build_object('template', c.text, 'image_url', c.image_url, 'lead', lead_as_json(l))
              from broadcast_messages m
              join campaigns c on c.id = m.campaign_id
              join leads l on l.id = m.lead_id
             where m.id = p_message);
    end if;
    return answer;
end $$;

-- migrate:down

drop function claim_campaign_message, campaign_audience, campaign_message_id;
drop index broadcast_messages_feed;
alter table broadcast_messages
    drop column campaign_shard, drop column campaign_position, drop column retried;
alter table campaigns
    drop constraint campaigns_ended, drop column start_now, drop column frozen_at, drop column shards,
    drop column audience, drop column opted_out, drop column without_device, drop column reason, drop column updated_at;
