-- A contact that is moved to another sequence while it is paused is paused there, too.

-- migrate:up

select lock_tables('wanted_enrollments in access exclusive mode');
alter table wanted_enrollments add column paused_at timestamptz, add column paused_reason text;

-- migrate:down

alter table wanted_enrollments drop column paused_at, drop column paused_reason;
