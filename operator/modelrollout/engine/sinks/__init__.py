"""Where people hear of transitions.

announce hands each note to every sink; sink is the port, and registry lists the sinks: kubernetes_events, and
people, who read chats and webhooks (wording has the sentences, mailbox keeps what waits).
"""
