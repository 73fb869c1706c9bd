-- What members were asked to pay, and what was truly paid: confirmed by the counterparty first, posted afterwards.

-- One row a request to a payer, beside the exchange of the same reference. `account` is what a payment under it names
-- where the counterparty tells of it once more as a payment in. The document is sealed: it names a number.
create table collections (
  member_id bigint not null, amount bigint not null check (amount > 0), body_digest bigint not null,
  asked_at timestamptz not null default clock_timestamp(),
  reference uuid not null, key_digest uuid not null, tenant_id int not null,
  channel text not null, account text not null default '', document bytea not null,
  primary key (tenant_id, reference), unique (tenant_id, key_digest),
  foreign key (tenant_id, reference) references exchanges (tenant_id, reference)
);
create index collections_account on collections (tenant_id, account) where account <> '';

-- One row a payment that its counterparty has confirmed, in the transaction that stored the confirmation. It waits until
-- it is posted as every payment is; `refused` waits for people. Two rows may tell of one payment: both lead to its event.
create table collected (
  collected_id bigint generated always as identity, event_id bigint not null default 0, amount bigint not null default 0,
  confirmed_at timestamptz not null default clock_timestamp(), posted_at timestamptz,
  reference uuid not null, tenant_id int not null,
  state text not null default 'waiting' check (state in ('waiting', 'received', 'suspended', 'refused')),
  channel text not null, reason text not null default '', document bytea not null,
  primary key (tenant_id, collected_id), unique (tenant_id, reference),
  check ((state in ('received', 'suspended')) = (event_id <> 0))
);
create index collected_waiting on collected (tenant_id, collected_id) where state = 'waiting';
create index collected_refused on collected (tenant_id, collected_id) where state = 'refused';
-- Before any service opened exchanges the table is empty: nothing waits for this index.
-- squawk-ignore require-concurrent-index-creation
create index exchanges_unknown on exchanges (tenant_id, opened_at) where outcome = 'sent';
