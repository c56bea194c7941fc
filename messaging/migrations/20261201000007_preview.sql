-- What can be looked at before anything is sent: whom a campaign goes to and why not the others, each text as a person will
-- get it, and a test message to one phone.
--
-- Functions of the release before that are replaced here answer the same as before for all that it has written: their rules
-- have moved into functions that can also be asked about messages that are not in the ledger.

-- migrate:up

-- Every lead, and how it stands to a campaign that starts now. of_niche, of_status, of_devices: whether it is of the target
-- by that; of_phone: whether its owner still has the phone. device_id, zone, opted_out and without_consent: as in
-- campaign_audience.
create function campaign_leads(p_campaign bigint)
returns table (lead_id bigint, phone text, device_id text, zone text, of_niche boolean, of_status boolean, of_devices boolean,
               of_phone boolean, opted_out boolean, without_consent boolean)
language sql stable as $$
    select l.id, l.phone, d.id, coalesce(l.time_zone, d.time_zone, 'UTC'),
           c.niche is null or l.niches @> array[c.niche],
           c.target_status = 'all' or l.target_status = c.target_status,
           c.device_ids is null or coalesce(d.id = any (wanted.ids), false),
           -- An import that ran while the phone changed may have stored the old one again.
           p.old_phone is null or present_phone(l.phone) = l.phone,
           exists (select from suppressions s where s.phone = l.phone and s.category in ('all', c.category)),
           c.require_consent and l.consent_at is null
      from campaigns c
      cross join leads l
      left join devices o on o.id = coalesce(l.device_id, (select only_device()))
      left join devices d on d.id = coalesce(o.replaced_by, o.id)
      left join phone_changes p on p.old_phone = l.phone
      cross join lateral (select array_agg(device_in_use(named)) as ids from unnest(c.device_ids) named) wanted
     where c.id = p_campaign
$$;

create or replace function campaign_audience(p_campaign bigint)
returns table (lead_id bigint, phone text, device_id text, zone text, opted_out boolean, without_consent boolean)
language sql stable as $$
    select a.lead_id, a.phone, a.device_id, a.zone, a.opted_out, a.without_consent
      from campaign_leads(p_campaign) a
     where a.of_niche and a.of_status and a.of_devices and a.of_phone
$$;

-- The first of these conditions (sequence_steps.conditions) that does not hold now for a contact and its lead, and what is so
-- instead, for people to read; null if all hold. A contact that is null is one that is not enrolled yet.
create function unmet_condition(asked jsonb, c sequence_contacts, l leads) returns text
language plpgsql stable as $$
declare
    last       broadcast_messages;  -- what was sent before
    replied_at timestamptz;
    wanted     record;              -- an attribute {key, value}, and the values of which it is to have one
    found_text text;
begin
    if asked ? 'replied' then
        select min(sent_at) into replied_at from replies_of(c);
        if replied_at is null and (asked ->> 'replied')::boolean then
            return 'replied: true, but no reply has come';
        elsif replied_at is not null and not (asked ->> 'replied')::boolean then
            return 'replied: false, but a reply came on ' || to_char(replied_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
        end if;
    end if;
    if asked ?| array['delivered', 'read'] then
        last := last_sent(c);
        found_text := coalesce('the message before (' || (select key from sequence_steps where id = last.sequence_stepid) || ')',
                               'no message before');
        if (last.delivered_at is not null) <> (asked ->> 'delivered')::boolean then
            return 'delivered: ' || (asked ->> 'delivered') || ', but ' || found_text || ' was '
                   || case when last.delivered_at is null and last.id is not null then 'not ' else '' end || 'delivered';
        elsif (last.read_at is not null) <> (asked ->> 'read')::boolean then
            return 'read: ' || (asked ->> 'read') || ', but ' || found_text || ' was '
                   || case when last.read_at is null and last.id is not null then 'not ' else '' end || 'read';
        end if;
    end if;
    for wanted in select a.key, a.value from jsonb_each(asked -> 'attribute') a order by a.key loop
        found_text := coalesce(l.attributes ->> wanted.key, '');
        if not exists (select from jsonb_array_elements_text(wanted.value) v where folded(v) = folded(found_text)) then
            return wanted.key || ': '
                   || (select string_agg(case when v = '' then '""' else left(v, 40) end, ' or ')
                         from jsonb_array_elements_text(wanted.value) v)
                   || ', but it is ' || case when found_text = '' then 'empty' else left(found_text, 40) end;
        end if;
    end loop;
    if asked ? 'niche' and not asked -> 'niche' ?| l.niches then
        return 'niche: ' || (select string_agg(v, ' or ') from jsonb_array_elements_text(asked -> 'niche') v)
               || ', which the lead does not have';
    elsif l.target_status <> asked ->> 'status' then
        return 'status: ' || (asked ->> 'status') || ', but the lead is a ' || l.target_status;
    end if;
    return null;
end $$;

create or replace function failed_condition(m broadcast_messages) returns text
language plpgsql stable as $$
declare
    asked jsonb;               -- the step's conditions
    c     sequence_contacts;
    l     leads;
begin
    if m.sequence_stepid is null or m.resends > 0 then
        return null;
    end if;
    select conditions into asked from sequence_steps where id = m.sequence_stepid;
    if asked is null then
        return null;
    end if;
    select * into strict c from sequence_contacts where id = m.sequence_contact_id;
    select * into strict l from leads where id = m.lead_id;
    return unmet_condition(asked, c, l);
end $$;

-- The category of a message: that of its campaign or sequence, as it is now; of a test, that of what it tests, as it was then.
create or replace function category_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce((select category from campaigns where id = m.campaign_id),
                    (select s.category from sequence_contacts c join sequences s on s.id = c.sequence_id
                      where c.id = m.sequence_contact_id),
                    m.contents ->> 'category')
$$;

-- What is sent for a message at p_moment, also for one that is not in the ledger. Within the service window it gets no
-- template, as the text goes out. A test has the values of a lead, and the phone that it goes to.
create function contents_of(m broadcast_messages, p_moment timestamptz) returns jsonb
language sql stable as $$
    select jsonb_build_object('step', coalesce(st.key, ''), 'text', coalesce(st.text, c.text, m.contents ->> 'text', ''),
                              'image_url', case when m.contents is not null then m.contents ->> 'image_url'
                                                when c.id is null then st.image_url else c.image_url end,
                              'approved_template', case when d.service_window and form_of(m, p_moment) = 'text' then null
                                                        else coalesce(st.template, c.template, m.contents -> 'template') end,
                              'parts_sent', m.parts_sent,
                              'lead', case when l.id is null then jsonb_build_object('phone', m.recipient_phone)
                                           when m.purpose = 'test'
                                           then lead_as_json(l) || jsonb_build_object('phone', m.recipient_phone)
                                           else lead_as_json(l) end)
      from devices d
      left join leads l on l.id = m.lead_id
      left join sequence_steps st on st.id = m.sequence_stepid
      left join campaigns c on c.id = m.campaign_id
     where d.id = m.device_id
$$;

create or replace function message_contents(p_message uuid, p_moment timestamptz) returns jsonb
language sql stable as $$
    select contents_of(m, p_moment) from broadcast_messages m where m.id = p_message
$$;

-- What a message is called in lists: its step or campaign, or else its purpose, and of a test what it tests.
create or replace function message_name(m broadcast_messages) returns text
language sql stable as $$
    select coalesce((select s.name || ' / ' || t.key from sequence_steps t join sequences s on s.id = t.sequence_id
                      where t.id = m.sequence_stepid),
                    (select 'campaign ' || name from campaigns where id = m.campaign_id),
                    m.purpose || coalesce(' of ' || (m.contents ->> 'of'), ''))
$$;

-- migrate:down

create or replace function message_name(m broadcast_messages) returns text
language sql stable as $$
    select coalesce((select s.name || ' / ' || t.key from sequence_steps t join sequences s on s.id = t.sequence_id
                      where t.id = m.sequence_stepid),
                    (select 'campaign ' || name from campaigns where id = m.campaign_id), m.purpose)
$$;

create or replace function message_contents(p_message uuid, p_moment timestamptz) returns jsonb
language sql stable as $$
    select jsonb_build_object('step', coalesce(st.key, ''), 'text', coalesce(st.text, c.text, m.contents ->> 'text', ''),
                              'image_url', case when m.contents is not null then m.contents ->> 'image_url'
                                                when c.id is null then st.image_url else c.image_url end,
                              'approved_template', case when d.service_window and form_of(m, p_moment) = 'text' then null
                                                        else coalesce(st.template, c.template, m.contents -> 'template') end,
                              'parts_sent', m.parts_sent,
                              'lead', case when l.id is null then jsonb_build_object('phone', m.recipient_phone)
                                           else lead_as_json(l) end)
      from broadcast_messages m
      left join leads l on l.id = m.lead_id
      join devices d on d.id = m.device_id
      left join sequence_steps st on st.id = m.sequence_stepid
      left join campaigns c on c.id = m.campaign_id
     where m.id = p_message
$$;

create or replace function category_of(m broadcast_messages) returns text
language sql stable as $$
    select coalesce((select category from campaigns where id = m.campaign_id),
                    (select s.category from sequence_contacts c join sequences s on s.id = c.sequence_id
                      where c.id = m.sequence_contact_id))
$$;

create or replace function failed_condition(m broadcast_messages) returns text
language plpgsql stable as $$
declare
    asked      jsonb;               -- the step's conditions
    c          sequence_contacts;
    l          leads;
    last       broadcast_messages;  -- what was sent before
    replied_at timestamptz;
    wanted     record;              -- an attribute {key, value}, and the values of which it is to have one
    found_text text;
begin
    if m.sequence_stepid is null or m.resends > 0 then
        return null;
    end if;
    select conditions into asked from sequence_steps where id = m.sequence_stepid;
    if asked is null then
        return null;
    end if;
    select * into strict c from sequence_contacts where id = m.sequence_contact_id;
    select * into strict l from leads where id = m.lead_id;
    if asked ? 'replied' then
        select min(sent_at) into replied_at from replies_of(c);
        if replied_at is null and (asked ->> 'replied')::boolean then
            return 'replied: true, but no reply has come';
        elsif replied_at is not null and not (asked ->> 'replied')::boolean then
            return 'replied: false, but a reply came on ' || to_char(replied_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
        end if;
    end if;
    if asked ?| array['delivered', 'read'] then
        last := last_sent(c);
        found_text := coalesce('the message before (' || (select key from sequence_steps where id = last.sequence_stepid) || ')',
                               'no message before');
        if (last.delivered_at is not null) <> (asked ->> 'delivered')::boolean then
            return 'delivered: ' || (asked ->> 'delivered') || ', but ' || found_text || ' was '
                   || case when last.delivered_at is null and last.id is not null then 'not ' else '' end || 'delivered';
        elsif (last.read_at is not null) <> (asked ->> 'read')::boolean then
            return 'read: ' || (asked ->> 'read') || ', but ' || found_text || ' was '
                   || case when last.read_at is null and last.id is not null then 'not ' else '' end || 'read';
        end if;
    end if;
    for wanted in select a.key, a.value from jsonb_each(asked -> 'attribute') a order by a.key loop
        found_text := coalesce(l.attributes ->> wanted.key, '');
        if not exists (select from jsonb_array_elements_text(wanted.value) v where folded(v) = folded(found_text)) then
            return wanted.key || ': '
                   || (select string_agg(case when v = '' then '""' else left(v, 40) end, ' or ')
                         from jsonb_array_elements_text(wanted.value) v)
                   || ', but it is ' || case when found_text = '' then 'empty' else left(found_text, 40) end;
        end if;
    end loop;
    if asked ? 'niche' and not asked -> 'niche' ?| l.niches then
        return 'niche: ' || (select string_agg(v, ' or ') from jsonb_array_elements_text(asked -> 'niche') v)
               || ', which the lead does not have';
    elsif l.target_status <> asked ->> 'status' then
        return 'status: ' || (asked ->> 'status') || ', but the lead is a ' || l.target_status;
    end if;
    return null;
end $$;

create or replace function campaign_audience(p_campaign bigint)
returns table (lead_id bigint, phone text, device_id text, zone text, opted_out boolean, without_consent boolean)
language sql stable as $$
    select l.id, l.phone, d.id, coalesce(l.time_zone, d.time_zone, 'UTC'),
           exists (select from suppressions s where s.phone = l.phone and s.category in ('all', c.category)),
           c.require_consent and l.consent_at is null
      from campaigns c
      join leads l on (c.niche is null or l.niches @> array[c.niche])
                  and (c.target_status = 'all' or l.target_status = c.target_status)
      left join devices o on o.id = coalesce(l.device_id, (select only_device()))
      left join devices d on d.id = coalesce(o.replaced_by, o.id)
      cross join lateral (select array_agg(device_in_use(named)) as ids from unnest(c.device_ids) named) wanted
     where c.id = p_campaign and (c.device_ids is null or d.id = any (wanted.ids))
       -- An import that ran while the phone changed may have stored the old one again.
       and not exists (select from phone_changes p where p.old_phone = l.phone and present_phone(l.phone) <> l.phone)
$$;

drop function contents_of, unmet_condition, campaign_leads;
