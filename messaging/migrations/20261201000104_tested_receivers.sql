-- What came of the last test of a receiver, which is no event and so is not counted as delivered.

-- migrate:up

select lock_tables('receivers in access exclusive mode');

alter table receivers
    add column tested_at   timestamptz,
    add column test_taken  boolean,
    add column test_answer text;

-- migrate:down

alter table receivers
    drop column tested_at,
    drop column test_taken,
    drop column test_answer;
