-- The menu on telephones: its sessions, its PINs, and what people ask for by it.

-- One row a gateway's session, by keyed digests of its id and of the telephone. The document, sealed, holds where the
-- session stands and every screen it was answered with, so that a request sent twice is answered alike; no secret typed.
create table ussd_sessions (
  begun_at timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null default clock_timestamp() + interval '5 minutes',
  session_id uuid not null, phone uuid not null, tenant_id int not null, steps int not null default 1,
  state text not null default 'open' check (state in ('open', 'over', 'resumed')),
  screen text not null default '', language text not null default '', currency text not null default '',
  cost numeric, document bytea,
  primary key (tenant_id, session_id)
);
create index ussd_sessions_by_phone on ussd_sessions (tenant_id, phone, begun_at);
create index ussd_sessions_by_expiry on ussd_sessions (tenant_id, expires_at);

-- By which PIN a member uses the menu on a telephone: argon2id of what the tenant's key makes of it.
create table ussd_pins (
  member_id bigint not null, set_at timestamptz not null default clock_timestamp(), locked_at timestamptz,
  phone uuid not null, tenant_id int not null, wrong int not null default 0, hash text not null,
  primary key (tenant_id, phone, member_id)
);
create index ussd_pins_of on ussd_pins (member_id);

-- What people ask for by the menu and people do. The document, sealed, says who and how; it goes when it is done.
create table ussd_requests (
  asked_at timestamptz not null default clock_timestamp(), closed_at timestamptz,
  member_id bigint not null default 0,                               -- 0: somebody unknown
  request_id uuid not null, phone uuid not null, tenant_id int not null,
  kind text not null check (kind in ('join', 'call', 'complaint', 'withdrawal', 'locked')),
  closed_by text not null default '', document bytea,
  primary key (tenant_id, request_id),
  check ((closed_at is null) = (document is not null))
);
create index ussd_requests_open on ussd_requests (tenant_id, asked_at) where closed_at is null;
create unique index ussd_requests_once on ussd_requests (tenant_id, phone, member_id, kind) where closed_at is null;
