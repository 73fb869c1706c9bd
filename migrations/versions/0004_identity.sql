-- Who people are. Everything that tells a person is in vault.document, encrypted under a key of that member's own;
-- the rest of the books knows a random member_id. Destroying the key erases the person and leaves the books whole.

create table members (
  member_id bigint not null, enrolled_event bigint not null, tenant_id int not null, joined_on date not null,
  product text not null, group_code text not null default '',
  status text not null default 'active' check (status in ('active', 'erased')),
  primary key (member_id)
);
create index members_by_event on members (tenant_id, enrolled_event);
create index members_by_product on members (tenant_id, product, joined_on);

create table member_keys (
  member_id bigint primary key, tenant_id int not null, wrapped_dek bytea not null
);
create table vault (
  member_id bigint primary key, tenant_id int not null, version smallint not null,
  document bytea                                                     -- null once the person was erased
);

-- What a person can be found by without being known: keyed digests of a member number (purpose 1) or of the permanent
-- part of a national identity number in one product (purpose 2). What they were made of is in the vault alone.
create table person_indexes (
  digest uuid not null, member_id bigint not null, tenant_id int not null, purpose smallint not null check (purpose in (1, 2)),
  primary key (digest, purpose)
);
create index person_indexes_of on person_indexes (member_id);

-- Every reading of personal data: who, what for, of whom. One row a reading, however many people it was of.
create table vault_reads (
  read_id bigint generated always as identity, tenant_id int not null, read_at timestamptz not null default clock_timestamp(),
  actor text not null, reason text not null, member_ids bigint[] not null,
  primary key (read_id)
);
create index vault_reads_by_member on vault_reads using gin (member_ids);
