-- Payments that were posted to a wrong member: taken back into suspense under `held_event`, and given to `given_to`; `refused`
-- is why they stay there.
alter table reversals add column if not exists given_to bigint not null default 0;
alter table reversals add column if not exists held_event bigint not null default 0;
alter table reversals add column if not exists refused text not null default '';

-- Two records of one person: `member_id` goes, `into_id` stays. One person proposes it, another approves what `digest` is of.
create table record_merges (
  member_id bigint not null, into_id bigint not null, proposed_event bigint not null, decided_event bigint not null default 0,
  tenant_id int not null, merge_no int not null, maker int not null, checker int not null default 0, asked_on date not null,
  digest text not null, state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected')),
  primary key (tenant_id, merge_no), check (member_id <> into_id), check (checker <> maker), check ((state = 'proposed') = (checker = 0))
);
create unique index a_record_goes_once on record_merges (member_id) where state <> 'rejected';

-- Records that were merged: by which event they went, whose they are now (`into_id` is the one that stands), and by which event since.
create table merged_records (
  member_id bigint not null, into_id bigint not null, event_id bigint not null, tenant_id int not null, merge_no int not null,
  into_event bigint not null, merged_on date not null, primary key (member_id), check (member_id <> into_id)
);
create index merged_into on merged_records (into_id);

-- One record of two persons: which payments of `member_id` are those of `to_id`; approved, each is moved as one posted to a wrong member.
create table record_splits (
  member_id bigint not null, to_id bigint not null, total bigint not null check (total > 0), proposed_event bigint not null,
  decided_event bigint not null default 0, tenant_id int not null, split_no int not null, maker int not null, checker int not null default 0,
  asked_on date not null, digest text not null, state text not null default 'proposed' check (state in ('proposed', 'approved', 'rejected')),
  receipts bigint[] not null check (cardinality(receipts) between 1 and 500),
  primary key (tenant_id, split_no), check (member_id <> to_id), check (checker <> maker), check ((state = 'proposed') = (checker = 0))
);

-- Numbers and documents of a record that went lead to the one that stays; `came_with` is the record that they were of.
alter table person_indexes add column if not exists came_with bigint not null default 0;

-- squawk-ignore ban-drop-constraint
alter table members drop constraint members_status_check;
alter table members add constraint members_status_check check (status in ('active', 'erased', 'merged')) not valid;

-- A member's own record and those that were merged into it: whoever counts what somebody did counts them together.
create function records_of(who bigint) returns table (record_id bigint) language sql stable as
$$ select who union all select m.member_id from merged_records m where m.into_id = who $$;
