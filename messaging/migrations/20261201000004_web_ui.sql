-- migrate:up

-- Waits for nobody for long, and lets nobody wait: workers of the release before go on meanwhile. One table after the other
-- would be a deadlock with whoever has the second one and wants the first.
do $$
begin
    set local lock_timeout = '300ms';
    loop
        begin
            lock table devices, sequences in access exclusive mode;
            exit;
        exception when lock_not_available then
            perform pg_sleep(0.1);
        end;
    end loop;
    set local lock_timeout = 0;
end $$;

-- Devices and sequences have a workflow each, on whose page operators watch and steer them. This is the state that the
-- workflow was told last (messaging.reporting.shown); null: it is to be started, or told again.
alter table devices add column shown_as text;
alter table sequences add column shown_as text;

-- migrate:down

alter table sequences drop column shown_as;
alter table devices drop column shown_as;
