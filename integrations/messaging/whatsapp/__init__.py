"""WhatsApp Cloud API: texts and approved templates out, signed webhooks in.

`wire` translates, `adapter` answers the port, `simulator` is the other side.
"""
