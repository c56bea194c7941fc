-- Tags of leads: words in the attribute 'tags', which unite when they come again.

-- migrate:up

-- The words of a list, each once, in their order: as messaging.common.words.normalise_words has them, but of whatever text.
create function words_of(p_text text) returns text[]
language sql immutable parallel safe as $$
    select coalesce(array_agg(word order by place), '{}')
      from (select w.word, min(t.place) as place
              from regexp_split_to_table(normalize(p_text, nfkc), '[,;\n、]') with ordinality as t (piece, place)
             cross join lateral (select upper(btrim(regexp_replace(t.piece, '\s+', ' ', 'g'))) as word) w
             where w.word <> ''
             group by w.word) words
$$;

-- Attributes that replace the stored ones, but for tags, which unite.
create function merged_attributes(p_stored jsonb, p_given jsonb) returns jsonb
language sql immutable parallel safe as $$
    select p_stored || p_given
           || case when p_stored ? 'tags' and p_given ? 'tags'
                   then jsonb_build_object('tags', array_to_string(words_of((p_stored ->> 'tags') || ',' || (p_given ->> 'tags')), ', '))
                   else '{}' end
$$;

-- Whether that would change nothing.
create function has_attributes(p_stored jsonb, p_given jsonb) returns boolean
language sql immutable parallel safe as $$
    select p_stored @> (p_given - 'tags') and words_of(p_given ->> 'tags') <@ words_of(p_stored ->> 'tags')
$$;

-- migrate:down

drop function has_attributes, merged_attributes, words_of;
