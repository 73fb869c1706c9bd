-- Who may do what: partners and their secrets, staff, their one-time links and their sessions.
-- A client id, a link and a cookie begin with the tenant they belong to, so that no table has to be read without a tenant.

create table partners (
  tenant_id int not null, partner_id int generated always as identity, created_at timestamptz not null default clock_timestamp(),
  code text not null check (code ~ '^[a-z][a-z0-9-]{1,40}$'), name text not null,
  client_id text not null, secret_hash text not null,                -- argon2id, with its parameters
  scopes text[] not null, status text not null default 'active' check (status in ('active', 'suspended')),
  primary key (tenant_id, partner_id), unique (tenant_id, code), unique (tenant_id, client_id)
);

create table staff (
  tenant_id int not null, staff_id int generated always as identity, created_at timestamptz not null default clock_timestamp(),
  label text not null,                                               -- a name for the post ("first operator"), not for the person
  roles text[] not null check (cardinality(roles) > 0),
  status text not null default 'active' check (status in ('active', 'suspended')),
  primary key (tenant_id, staff_id), unique (tenant_id, label)
);

-- Only digests of what the person holds: whoever reads these tables can enter nowhere. The instants are the wall clock's.
create table staff_links (
  tenant_id int not null, staff_id int not null, digest bytea not null check (octet_length(digest) = 32),
  expires_at timestamptz not null, used_at timestamptz,
  primary key (tenant_id, digest), foreign key (tenant_id, staff_id) references staff
);
create table staff_sessions (
  tenant_id int not null, staff_id int not null, digest bytea not null check (octet_length(digest) = 32),
  created_at timestamptz not null, last_seen_at timestamptz not null, ended_at timestamptz,
  primary key (tenant_id, digest), foreign key (tenant_id, staff_id) references staff
);
create index staff_sessions_of on staff_sessions (tenant_id, staff_id) where ended_at is null;
