-- What joining decided and later decisions ask again: the entry age, the class and level, by when something is outstanding.
alter table memberships
  add column entry_age smallint, add column completes_on date,
  add column person_class text not null default '', add column level text not null default '';

-- Ages and due days lead to a birth date, so they go with the person.
create function forget_joining() returns trigger language plpgsql as $$ begin
  update memberships set entry_age = null, completes_on = null, person_class = '', level = '' where member_id = new.member_id;
  return null;
end $$;
create trigger forget_joining after update of status on members
  for each row when (new.status = 'erased') execute function forget_joining();
