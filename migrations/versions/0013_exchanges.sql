-- What we ask of the outside, and what comes of it. Documents are sealed: they name people, their numbers and amounts.

-- One row a request: a collection, a payout, an order. It is here before the first byte of it is sent; `sent_at` is set
-- just before that byte. `state` is what is known of the call, `outcome` what has become of what it asks for. `lease`
-- counts who has had it: whoever had it before can neither send nor store any more.
create table exchanges (
  exchange_id bigint generated always as identity, opened_at timestamptz not null default clock_timestamp(),
  due_at timestamptz,                                                -- when it is looked at next; null, once nothing is to be done
  leased_until timestamptz, sent_at timestamptz, settled_at timestamptz,
  reference uuid not null, provider_digest uuid,
  tenant_id int not null, calls int not null default 0, lease int not null default 0, is_woken boolean not null default false,
  state text not null default 'requested' check (state in ('requested', 'accepted', 'rejected', 'unknown')),
  outcome text not null default 'created' check (outcome in ('created', 'sent', 'pending', 'succeeded', 'failed')),
  counterparty text not null, operation text not null, reason text not null default '', code text not null default '',
  question bytea not null, answer bytea,
  primary key (tenant_id, exchange_id), unique (tenant_id, reference),
  -- A counterparty's transaction is one request's, for ever.
  constraint one_request_a_transaction unique (tenant_id, counterparty, provider_digest),
  check ((settled_at is not null) = (outcome in ('succeeded', 'failed')))
);
create index exchanges_due on exchanges (tenant_id, counterparty, due_at) where due_at is not null;

-- Every message of every call as it went and came, in order; what went is here before it went. Calls for a token are not.
create table exchange_messages (
  exchange_id bigint not null, recorded_at timestamptz not null default clock_timestamp(),
  tenant_id int not null, call_no int not null, message_no int not null,
  kind text not null check (kind in ('sent', 'received', 'unreachable', 'unanswered')), document bytea not null,
  primary key (tenant_id, exchange_id, call_no, message_no),
  foreign key (tenant_id, exchange_id) references exchanges
);

-- Addresses that cannot be guessed, one a call, or a standing one of an operation (no exchange). `question` is what the
-- counterparty called the enquiry that the address was made for: an answer to it counts once, and by that name alone.
create table exchange_addresses (
  digest uuid not null, exchange_id bigint, made_at timestamptz not null default clock_timestamp(), answered_at timestamptz,
  tenant_id int not null, purpose text not null check (purpose in ('request', 'enquiry', 'standing')),
  counterparty text not null, operation text not null, question text not null default '',
  primary key (tenant_id, digest),
  foreign key (tenant_id, exchange_id) references exchanges,
  check ((purpose = 'standing') = (exchange_id is null))
);

-- Callbacks as they came, each once: stored first, read later. They move nothing.
create table callbacks (
  callback_id bigint generated always as identity, received_at timestamptz not null default clock_timestamp(),
  read_at timestamptz, exchange_id bigint,
  digest uuid not null, address uuid not null, tenant_id int not null,
  verdict text not null default '' check (verdict in ('', 'woke', 'answered', 'opened', 'late', 'unreadable', 'not-asked')),
  counterparty text not null, document bytea not null,
  primary key (tenant_id, callback_id), unique (tenant_id, digest)
);
create index callbacks_unread on callbacks (tenant_id, callback_id) where read_at is null;

-- Access tokens, shared by all processes: some counterparties let only the newest live.
create table access_tokens (
  digest uuid not null, expires_at timestamptz not null, tenant_id int not null, document bytea not null,
  primary key (tenant_id, digest)
);
