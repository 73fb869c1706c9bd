-- Numbers of identity documents over time. A number that a member holds since they joined, and that was never anybody
-- else's, has no row here: its index is in person_indexes alone, which says who is known by it, whether or not they hold it still.

create table held_numbers (
  member_id bigint not null, event_id bigint not null, digest uuid not null, tenant_id int not null,
  from_on date not null, to_on date, as_of date, document_kind text not null, verified_by text not null,
  primary key (member_id, digest, event_id), check (to_on >= from_on)
);
create unique index held_numbers_now on held_numbers (tenant_id, digest) where to_on is null;
create index held_numbers_by_digest on held_numbers (tenant_id, digest);

-- Changes of such numbers, which two people stand for. The document is the number, sealed under the member's key;
-- `other_member` is known by it already, and `finding` says whether the two are one person.
create table number_changes (
  asked_at timestamptz not null default clock_timestamp(), decided_at timestamptz,
  member_id bigint not null, other_member bigint not null default 0, event_id bigint not null, decided_event bigint not null default 0,
  change_id uuid not null, tenant_id int not null, from_on date not null,
  state text not null check (state in ('proposed', 'contested', 'found', 'applied', 'same-person', 'rejected')),
  act text not null check (act in ('added', 'replaced', 'ended')), document_kind text not null,
  finding text not null default '' check (finding in ('', 'same-person', 'other-person')),
  reason text not null, maker text not null, finder text not null default '', checker text not null default '',
  digest text not null check (digest ~ '^[0-9a-f]{64}$'), document bytea,
  primary key (tenant_id, change_id),
  check ((state in ('applied', 'same-person', 'rejected')) = (decided_at is not null and decided_event <> 0 and checker <> '')),
  check (state not in ('applied', 'same-person') or (checker <> maker and checker <> finder)),
  check ((state in ('contested', 'found', 'same-person')) <= (other_member <> 0)),
  check ((finding <> '') = (finder <> ''))
);
create unique index one_change_of_a_kind on number_changes (member_id, document_kind) where state in ('proposed', 'contested', 'found');
create index number_changes_open on number_changes (tenant_id, asked_at) where state in ('proposed', 'contested', 'found');

-- Signed files that members handed over, each once, sealed under the member's key; what was made of one is the verification's.
create table offline_documents (
  received_at timestamptz not null default clock_timestamp(), member_id bigint not null,
  digest uuid not null, reference uuid not null, tenant_id int not null, document bytea,
  primary key (tenant_id, digest)
);
create index offline_documents_of on offline_documents (member_id);

-- Files by which an agency without an API is asked. Neither they nor its answers are kept: the questions are verifications,
-- from which the same file is made again, and what it states of a member is sealed under that member's key.
create table verification_batches (
  made_at timestamptz not null default clock_timestamp(), tenant_id int not null, batch_no int not null, questions int not null,
  name text not null, made_by text not null, sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  primary key (tenant_id, batch_no), unique (tenant_id, name)
);
alter table verifications add column batch_no int not null default 0;
-- squawk-ignore require-concurrent-index-creation
create index verifications_of_batch on verifications (tenant_id, batch_no) where batch_no <> 0;

-- By what members may be looked for who have died and whose number nobody tells: keyed digests of how the words of a name sound,
-- with the birth date or, two words, its year. Who is in it, `named_members` say; whom it proposed for which notice, candidates.
create table name_tokens (
  token uuid not null, member_id bigint not null, tenant_id int not null, primary key (tenant_id, token, member_id)
);
create index name_tokens_of on name_tokens (member_id);
create table named_members (
  member_id bigint not null, tenant_id int not null, primary key (tenant_id, member_id)
);
create table death_candidates (
  notice_id bigint not null, member_id bigint not null, tenant_id int not null, score_bp smallint not null,
  primary key (tenant_id, notice_id, member_id), foreign key (tenant_id, notice_id) references death_notices
);
create index death_candidates_of on death_candidates (member_id);

create function forget_numbers() returns trigger language plpgsql as $$ begin
  delete from held_numbers where member_id = new.member_id;
  delete from name_tokens where member_id = new.member_id;
  delete from named_members where tenant_id = new.tenant_id and member_id = new.member_id;
  delete from death_candidates where member_id = new.member_id;
  update number_changes set document = null where member_id = new.member_id;
  update offline_documents set document = null where member_id = new.member_id;
  return null;
end $$;
create trigger forget_numbers after update of status on members
  for each row when (new.status = 'erased') execute function forget_numbers();

-- What is sealed under keys of its own and tells of one member goes with them; an empty document opens nothing. Erasing is
-- refused while any of it is needed: see identity. Files that name many people stay, and name them by their numbers.
create function only_emptied() returns trigger language plpgsql as $$ begin
  if tg_op = 'UPDATE' and new.document = '' and to_jsonb(new) - 'document' = to_jsonb(old) - 'document' then
    return new;
  end if;
  raise exception '% of % is refused: it is append-only but for erasing a person', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end $$;
drop trigger append_only on exchange_messages;
create trigger append_only before update or delete on exchange_messages for each row execute function only_emptied();

-- What came from outside is kept as it came, and whom a payout pays stays as it was approved: their documents change as they are
-- emptied, a payout's with its member.
create function emptied_alone() returns trigger language plpgsql as $$ begin
  if new.document = '' and (tg_table_name <> 'payouts' or exists (
       select from members m where m.tenant_id = old.tenant_id and m.member_id = (to_jsonb(old) ->> 'member_id')::bigint and m.status = 'erased')) then
    return new;
  end if;
  raise exception 'another document of % is refused', tg_table_name using errcode = 'insufficient_privilege';
end $$;
create trigger emptied_alone before update of document on payouts
  for each row when (new.document is distinct from old.document) execute function emptied_alone();
create trigger emptied_alone before update of document on callbacks
  for each row when (new.document is distinct from old.document) execute function emptied_alone();
create trigger emptied_alone before update of document on collected
  for each row when (new.document is distinct from old.document) execute function emptied_alone();
create trigger emptied_alone before update of document on suspense
  for each row when (new.document is distinct from old.document) execute function emptied_alone();

create function forget_sealed() returns trigger language plpgsql as $$
declare asked uuid[]; called bigint[];
begin
  asked := array(select reference from collections where member_id = new.member_id
                 union select payout_id from payouts where tenant_id = new.tenant_id and member_id = new.member_id
                 union select message_id from messages where member_id = new.member_id
                 union select reference from verifications where member_id = new.member_id);
  called := array(select exchange_id from exchanges where tenant_id = new.tenant_id and reference = any(asked));
  update exchange_messages set document = '' where tenant_id = new.tenant_id and exchange_id = any(called) and document <> '';
  update callbacks set document = '' where tenant_id = new.tenant_id and exchange_id = any(called) and read_at is not null;
  update exchanges set question = '', answer = null where tenant_id = new.tenant_id and exchange_id = any(called) and settled_at is not null;
  update collections set document = '' where member_id = new.member_id;
  update collected c set document = '' where c.tenant_id = new.tenant_id and c.state in ('received', 'suspended') and (
    c.reference = any(asked) or exists (select from events e where e.member_id = new.member_id and e.event_id = c.event_id));
  update suspense s set document = '' from suspense_resolutions r
   where r.tenant_id = new.tenant_id and r.member_id = new.member_id and s.tenant_id = r.tenant_id and s.event_id = r.event_id;
  update payouts set document = '' where tenant_id = new.tenant_id and member_id = new.member_id
     and (settled_event = 0 or not (source like 'pension:%' and exists (
            select from pension_schedules p where p.member_id = new.member_id and p.heir_no <> 0
               and p.claim_id = split_part(source, ':', 2)::bigint)));
  update pension_schedules set payee = null where member_id = new.member_id and payee is not null;
  update death_notices set document = '' where member_id = new.member_id;
  return null;
end $$;
create trigger forget_sealed after update of status on members
  for each row when (new.status = 'erased') execute function forget_sealed();
